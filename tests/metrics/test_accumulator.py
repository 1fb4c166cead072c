"""Batches, in whatever division and order, give the numbers of all faces at once."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import InvalidData, UsageError
from facebench.geometry import euler_to_rotation
from facebench.metrics import Accumulator, LandmarkSuite, PoseSuite, VisibilitySuite, estimate
from facebench.protocols import get_protocol

FACES = 24
LANDMARKS = LandmarkSuite(
    scheme="ibug68", normalisers={"corners": (8, 10), "box-sqrt@found": (7,)}, apart=("visible", "occluded")
)
POSE = PoseSuite(convention="raw-xyz", also=("mnn-yxz",))
VISIBILITY = VisibilitySuite(scheme="cofw29")


def landmarks(rng):
    truth = rng.uniform(0, 100, (FACES, 68, 2))
    truth[rng.uniform(size=(FACES, 68)) < 0.05] = np.nan
    truth[:, [36, 45]] = [[20, 30], [80, 30]]
    predicted = truth + rng.normal(0, 5, truth.shape)
    predicted[2, :5] = np.nan
    states = rng.choice([1, 2], (FACES, 68)).astype(np.uint8)
    states[:6] = 1  # no occluded point
    boxes = {"found": np.tile([0.0, 0.0, 90.0, 110.0], (FACES, 1))}
    return LANDMARKS, predicted, truth, {"visibility": states, "boxes": boxes}


def pose(rng):
    euler = rng.uniform(-60, 60, (2, FACES, 3))
    return POSE, *(euler_to_rotation(one, "raw-xyz") for one in euler), {"eulers": {"raw-xyz": euler[0]}}


def visibility(rng):
    states = rng.choice([0, 1, 2], (FACES, 29)).astype(np.uint8)
    states[3] = 0  # nothing of this face counts
    v = np.round(np.clip(rng.normal(0.6 - 0.1 * states, 0.2), 0, 1), 2)  # with ties
    v[:4] = np.round(v[:4])  # by chance nothing but 0 and 1
    v[5, :3] = np.nan
    return VISIBILITY, v, states, {}


ALL = {"landmarks": landmarks, "pose": pose, "visibility": visibility}


@pytest.fixture(params=ALL)
def case(request):
    return ALL[request.param](np.random.default_rng(0))


def rows_of(value, rows):
    return {name: one[rows] for name, one in value.items()} if isinstance(value, dict) else value[rows]


def show(seen, case, rows):
    _, predicted, truth, more = case
    chosen = {name: rows_of(value, rows) for name, value in more.items()}
    seen.update(predicted[rows], truth[rows], **chosen)
    return seen


def directly(case, resamples=0):
    """Return the estimates of the suite over all faces, without an accumulator."""
    suite, predicted, truth, more = case
    columns = suite.columns(predicted, truth, **more).of
    metrics = [one for one in suite.metrics if "aligned" not in one.key]
    wanted = [one.over_groups(("all",)) for one in metrics]
    found = estimate(columns, {"all": np.ones(FACES, bool)}, wanted, resamples=resamples)
    return {metric.key: one for metric, one in zip(metrics, found, strict=True)}


def values(found):
    return {key: one.value for key, one in found.items()}


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=25)
@given(data=st.data())
def test_any_division_in_any_order_is_all_at_once(name, data):
    case = ALL[name](np.random.default_rng(data.draw(st.integers(0, 3))))
    order = np.array(data.draw(st.permutations(range(FACES))))
    cuts = sorted(data.draw(st.lists(st.integers(0, FACES), max_size=8)))  # equal ones give empty batches
    seen = Accumulator(case[0])
    for rows in np.split(order, cuts):
        show(seen, case, rows)
    assert len(seen) == FACES
    assert seen.compute() == pytest.approx(values(directly(case)), rel=1e-12)


def test_in_the_same_order_every_digit_and_interval_is_the_same(case):
    seen = Accumulator(case[0])
    for rows in np.array_split(np.arange(FACES), 5):
        show(seen, case, rows)
    assert seen.estimate(resamples=50) == directly(case, resamples=50)


def test_percentiles_and_average_precision_are_exact():
    rng = np.random.default_rng(1)
    for case, keys in (
        (landmarks(rng), ("p50/corners", "p90/corners")),
        (visibility(rng), ("ap", "recall80")),
    ):
        seen = Accumulator(case[0])
        for row in range(FACES):  # one face at a time
            show(seen, case, [row])
        assert set(keys) < set(seen.compute())
        for key in keys:
            assert seen.compute()[key] == directly(case)[key].value


def test_computing_in_between_changes_nothing(case):
    seen = Accumulator(case[0])
    for rows in np.array_split(np.arange(FACES), 3):
        show(seen, case, rows)
        between = seen.compute()
        assert between == seen.compute()
    assert between == values(directly(case))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_merging_in_any_order_is_all_at_once(case, order):
    parts = [show(Accumulator(case[0]), case, rows) for rows in np.split(np.arange(FACES), [5, 6])]
    whole, before = Accumulator(case[0]), [part.compute() for part in parts]
    whole.merge(*(parts[j] for j in order))
    assert len(whole) == FACES
    assert whole.compute() == pytest.approx(values(directly(case)), rel=1e-12)
    assert [part.compute() for part in parts] == before  # the others are as they were
    show(whole, case, [0])
    assert [len(part) for part in parts] == [5, 1, 18]


def _in_a_process(name, rows):
    case = ALL[name](np.random.default_rng(0))
    return show(Accumulator(case[0]), case, rows)


def test_accumulators_of_other_processes_are_merged():
    work = [(name, rows) for name in ALL for rows in (range(9), range(9, FACES))]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_in_a_process, [(name, list(rows)) for name, rows in work])
    for name, (one, other) in zip(ALL, zip(found[::2], found[1::2], strict=True), strict=True):
        case = ALL[name](np.random.default_rng(0))
        whole = Accumulator(case[0])
        whole.merge(one, other)
        assert whole.compute() == values(directly(case))


def test_a_pickled_one_goes_on(case):
    seen = show(Accumulator(case[0]), case, np.arange(10))
    seen.compute()
    seen = pickle.loads(pickle.dumps(seen))
    seen.merge(show(Accumulator(case[0]), case, np.arange(10, FACES)))
    assert seen.compute() == values(directly(case))


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
def test_tensors_give_the_numbers_of_arrays(case, kind):
    torch = pytest.importorskip("torch")
    suite, predicted, truth, more = case

    def tensor(value):
        if isinstance(value, dict):
            return {name: tensor(one) for name, one in value.items()}
        made = torch.from_numpy(np.ascontiguousarray(value))
        return made.to(getattr(torch, kind)) if made.is_floating_point() else made

    def array(value):
        return (
            {n: array(one) for n, one in value.items()} if isinstance(value, dict) else value.double().numpy()
        )

    given = tensor(predicted).requires_grad_()
    seen, expected = Accumulator(suite), Accumulator(suite)
    seen.update(given, tensor(truth), **{name: tensor(value) for name, value in more.items()})
    same = {name: array(tensor(value)) for name, value in more.items()}
    if "visibility" in same:
        same["visibility"] = more["visibility"]
    expected.update(array(given.detach()), array(tensor(truth)), **same)
    assert seen.compute() == expected.compute()


def test_arrays_that_are_overwritten_afterwards_do_not_matter(case):
    _, predicted, truth, more = case
    expected = values(directly(case))
    given, true = predicted.copy(), truth.copy()
    seen = Accumulator(case[0])
    seen.update(given, true, **more)
    given[:], true[:] = 0, 0
    assert seen.compute() == expected


def test_a_protocol_is_a_suite():
    _, predicted, truth, _ = landmarks(np.random.default_rng(0))
    protocol = get_protocol("300w/landmarks")
    seen = Accumulator(protocol)
    truth = np.where(np.isnan(truth), 50.0, truth)
    predicted = truth + 1
    seen.update(predicted, truth)
    assert list(seen.compute()) == [metric.key for metric in protocol.metrics]
    assert seen.compute()["nme/corners"] == pytest.approx(100 * np.sqrt(2) / 60)
    assert len(pickle.loads(pickle.dumps(seen))) == FACES
    other = Accumulator(get_protocol("300w/landmarks-private"))
    with pytest.raises(UsageError, match="different suites"):
        seen.merge(other)


def test_hard_labels_have_no_sweep():
    suite, v, states, _ = visibility(np.random.default_rng(0))
    seen = Accumulator(suite)
    seen.update(np.round(v[:8]), states[:8])
    assert set(seen.compute()) == {"precision", "recall", "f1"}
    seen.update(v[8:], states[8:])  # now there is something between 0 and 1
    assert "ap" in seen.compute()


def test_an_empty_batch_adds_nothing(case):
    seen = Accumulator(case[0])
    seen.update(case[1][:0], case[2][:0])
    seen.update(np.empty(0), np.empty(0))
    assert len(seen) == 0
    with pytest.raises(UsageError, match="call update first"):
        seen.compute()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "change",
    [
        lambda p, t: (p[:5], t[:6]),
        lambda p, t: (p[:0], t),
        lambda p, t: (p[:, :1], t),
        lambda p, t: (p, t[:, :1]),
        lambda p, t: (p[:, :2], t[:, :2]),
        lambda p, t: (p[0], t[0]),
        lambda p, t: (p[..., None], t[..., None]),
    ],
)
def test_shapes_that_do_not_fit_are_refused_and_add_nothing(name, change):
    case = ALL[name](np.random.default_rng(0))
    seen = show(Accumulator(case[0]), case, np.arange(4))
    before = seen.compute()
    with pytest.raises(ValueError, match="expected predicted and true faces of shape"):
        seen.update(*change(case[1], case[2]))
    assert (len(seen), seen.compute()) == (4, before)


def test_a_failed_batch_adds_nothing():
    case = landmarks(np.random.default_rng(0))
    seen = show(Accumulator(case[0]), case, np.arange(4))
    before = seen.compute()
    nowhere = np.full((3, 68, 2), 7.0)
    with pytest.raises(InvalidData, match="'corners' is zero or undefined for 0, 1, 2"):
        seen.update(nowhere, nowhere, **{n: rows_of(v, np.arange(3)) for n, v in case[3].items()})
    with pytest.raises(UsageError, match="needs boxes named 'found'"):
        seen.update(case[1], case[2], visibility=case[3]["visibility"])
    with pytest.raises(TypeError):
        seen.update(case[1], case[2], colour="red")
    assert (len(seen), seen.compute()) == (4, before)


def test_different_suites_are_not_merged_and_nothing_is():
    case = landmarks(np.random.default_rng(0))
    same, other = show(Accumulator(LANDMARKS), case, [0]), Accumulator(POSE)
    seen = Accumulator(LANDMARKS)
    with pytest.raises(UsageError, match="different suites"):
        seen.merge(same, other)
    assert len(seen) == 0
    with pytest.raises(UsageError, match="different suites"):
        Accumulator(LandmarkSuite(scheme="ibug68", normalisers={"corners": (8,)})).merge(same)


def test_reset_forgets(case):
    seen = show(Accumulator(case[0]), case, np.arange(9))
    seen.reset()
    assert len(seen) == 0
    show(seen, case, np.arange(FACES))
    assert seen.compute() == values(directly(case))


def test_metrics_without_any_face_are_left_out():
    suite, predicted, truth, more = landmarks(np.random.default_rng(0))
    seen = Accumulator(suite)
    show(seen, (suite, predicted, truth, more), np.arange(6))  # of these no point is occluded
    assert "nme/corners/occluded" not in seen.compute()
    show(seen, (suite, predicted, truth, more), np.arange(6, FACES))
    assert "nme/corners/occluded" in seen.compute()


def test_no_alignment_is_estimated_from_batches():
    case = pose(np.random.default_rng(0))
    seen = show(Accumulator(case[0]), case, np.arange(FACES))
    assert not [key for key in seen.compute() if "aligned" in key]


def kept(seen):
    return sum(column.nbytes for batch in seen._batches for column in batch.values())


def test_what_is_kept_is_a_few_numbers_for_each_face(case):
    """8 bytes for each column; of visibility 9 for each point.  Points and images are not kept."""
    seen = Accumulator(case[0])
    for rows in np.split(np.arange(FACES), 8):
        show(seen, case, rows)
    columns = case[0].columns(case[1], case[2], **case[3]).of
    wanted = sum("aligned" not in name for name in columns)
    limit = 9 * 29 if case[0] is VISIBILITY else 8 * wanted
    assert kept(seen) <= limit * FACES
    seen.compute()
    assert kept(seen) <= limit * FACES
    assert len(seen._batches) == 1
