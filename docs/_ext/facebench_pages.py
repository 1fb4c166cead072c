"""Write the parts of the pages that facebench itself knows, into ``docs/generated/``.

Datasets come from their manifests, protocols from the registry, the tables of the file formats from the
schema, the command line from its commands.  The pages include these files, so no fact stands in two places.
The build warns when a built-in dataset or protocol has no page, or when a page fails to name something that
it should explain.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
from sphinx.application import Sphinx
from sphinx.util import logging

from facebench.cli import facebench as commands
from facebench.datasets import Manifest, get_dataset, manifest_folder
from facebench.formats import VISIBILITY, schema
from facebench.formats.predictions import ARRAYS, ATTRIBUTES
from facebench.geometry import CONVENTIONS, EulerConvention, correspondences, get_scheme
from facebench.metrics import ENGINES, NORMALISERS
from facebench.metrics.suites import normaliser_meaning
from facebench.protocols import (
    BALANCED,
    BASELINES,
    LandmarkProtocol,
    PoseProtocol,
    Protocol,
    VisibilityProtocol,
    protocols_of,
)

logger = logging.getLogger(__name__)

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")
KINDS = {"i": "integer", "u": "unsigned integer", "f": "float", "O": "text"}

LANDMARK_FORMULAS = """
NME_i     = 100 / |K_i| · Σ_k ‖p_ik − g_ik‖ / d_i          face i, its points k that count
AUC@t     = mean over faces of 100 · max(0, 1 − NME_i / t)
FR@t      = mean over faces of 100 · [NME_i > t]
"""
POSE_FORMULAS = """
e_ia      = min(δ, 360° − δ),  δ = |predicted − true| mod 360°          face i, angle a
MAE a     = mean over faces of e_ia
MAE       = mean over faces of (e_i,yaw + e_i,pitch + e_i,roll) / 3
Geodesic  = mean over faces of γ_i,  γ_i = arccos((trace(P_i R_iᵀ) − 1) / 2)
MAEV      = mean over faces of the mean angle between the columns of P_i and R_i
Geodesic ≤ t   = mean over faces of 100 · [γ_i ≤ t]
Yaw class      = mean over faces of 100 · [c(predicted yaw) = c(true yaw)]
Yaw class ± 1  = mean over faces of 100 · [|c(predicted yaw) − c(true yaw)| ≤ 1]
                 c(y) = ⌊y / 15° + 1/2⌋, no less than −6 and no more than 6
aligned left   = the same with Mᵀ P_i for P_i,  M = mean rotation of P_i R_iᵀ
aligned right  = the same with P_i Mᵀ for P_i,  M = mean rotation of R_iᵀ P_i
"""
VISIBILITY_FORMULAS = """
v_ik        predicted probability that point k of face i is visible
TP, FP, FN  over the points of all faces together; a point is claimed positive when 1 − v_ik ≥ s
P(s)      = 100 · TP / (TP + FP)          R(s) = 100 · TP / (TP + FN)
AP        = Σ (R(s) − R(next larger s)) · P(s) / 100,  over the distinct values s of 1 − v_ik
Recall@LP = the largest R(s) with P(s) ≥ L;  0 where there is none
interp.   = the recall at which the line from that point to the next one has precision L
Precision, Recall, F1 = 100 · 2 TP / (2 TP + FP + FN):  claimed positive when v_ik < 0.5
"""
BALANCED_FORMULA = "balanced  = mean over bins of (mean over the faces of the bin)"

DATASETS = sorted(path.stem for path in manifest_folder().glob("*.toml"))


def md(text: object) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def table(headings: tuple[str, ...], rows: list[tuple[object, ...]], right: tuple[int, ...] = ()) -> str:
    """Return a Markdown table of cells that are Markdown already."""
    rule = ["--:" if column in right else ":--" for column in range(len(headings))]
    lines = [" | ".join(str(cell) for cell in row) for row in (headings, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def code(text: object) -> str:
    return f"`{text}`"


def fence(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```\n"


def page_of(protocol: Protocol) -> str:
    return f"protocols/{protocol.name}"


def dataset(manifest: Manifest) -> str:
    """Return the card of a dataset."""
    protocols = protocols_of(manifest.name)
    roles = " ".join(f"--source {role.upper()}" for role in manifest.sources)
    legend = "\n".join(f"# {role.upper()}: {what}" for role, what in manifest.sources.items())
    redistribution = "allowed" if manifest.licence.redistribution else "not allowed"
    images = f" in {manifest.images} images" if manifest.images is not None else ""
    parts = [
        f"# {manifest.title}\n\n{md(manifest.summary)}\n",
        table(
            ("", ""),
            [
                ("name in facebench", code(manifest.name)),
                ("faces", "as many as you have" if manifest.open else f"{manifest.faces}{images}"),
                ("home page", f"<{manifest.homepage}>"),
                ("licence", md(manifest.licence.summary)),
                ("redistribution", redistribution),
                (
                    "protocols",
                    ", ".join(f"[`{one.name}`](../{page_of(one)}.md)" for one in protocols) or "none yet",
                ),
            ],
        ),
        f"## Licence\n\n{md(manifest.licence.text)}\n",
        "## How to obtain it\n",
    ]
    for archive in manifest.archives:
        parts.append(f"**{md(archive.file)}**\n: {md(archive.obtain)}\n")
        facts = [f"<{archive.url}>" if archive.url else "", f"{archive.bytes} bytes" if archive.bytes else ""]
        facts.append(f"SHA-256 `{archive.sha256}`" if archive.sha256 else "")
        parts += [f"\n  {fact}\n" for fact in facts if fact]
        parts.append("\n")
    if manifest.seed is None:
        parts += [
            "Inside, it looks like this:\n",
            fence(manifest.tree),
            "Leave it where it is, as a folder or as an archive, and name it "
            "([Prepare a dataset](../prepare-a-dataset.md) says what then happens):\n",
            fence(f"facebench prepare {manifest.name} {roles}\n{legend}", "sh"),
        ]
    else:
        parts += ["Nothing has to be obtained:\n", fence(manifest.tree)]
    parts += [
        f"`facebench verify {manifest.name} --source {next(iter(manifest.sources)).upper()}` compares every "
        "file with the published one.\n"
        if manifest.file_hashes
        else "",
        "## Annotation sets\n",
    ]
    for name, facts in manifest.annotations.items():
        parts.append(
            f"### {name}\n\nScheme `{facts.scheme}`. {md(facts.what)}\n\n"
            f"*Index base.* {md(facts.index_base)}\n\n*Visibility.* {md(facts.visibility)}\n"
        )
    parts.append(f"## Pose\n\n{md(manifest.pose)}\n\n## Boxes and other numbers\n")
    for group, values in (("boxes", manifest.boxes), ("source", manifest.source)):
        parts += [f"`/{group}/{name}`\n: {md(what)}\n\n" for name, what in values.items()]
    splits = [
        (
            code(name),
            "" if manifest.open else split.count,
            md(split.what),
            code(split.sha256[:12]) if split.sha256 else "",
        )
        for name, split in manifest.splits.items()
    ]
    compared = (
        "Counts and hashes are compared whenever a complete release is prepared."
        if not manifest.open
        else "Nothing is published that they could be compared with."
    )
    parts += [
        f"## Splits\n\nThe hash is of the sorted face ids, one per line. {compared}\n",
        table(("split", "faces", "which", "SHA-256 of the ids"), splits, right=(1,)),
    ]
    if manifest.faults:
        parts.append(
            "## Known faults\n\nWhat is wrong or odd in the release, and what facebench does about it.\n"
        )
    for fault in manifest.faults:
        count = f" ({fault.count})" if fault.count else ""
        ids = f"\n\n  {', '.join(map(code, fault.ids))}" if fault.ids else ""
        parts.append(f"**{md(fault.what)}**{count}\n: {md(fault.handling)}.{ids}\n\n")
    if manifest.citations:
        parts.append(
            f"## Citations\n\nCite what you use. `facebench info {manifest.name} --bibtex` prints these.\n"
        )
    for citation in manifest.citations:
        parts.append(f"{md(citation.what)}:\n\n{fence(citation.bibtex, 'bibtex')}")
    return "\n".join(parts)


def protocol(one: Protocol, manifest: Manifest) -> str:
    """Return the definition of a protocol."""
    key, group = one.headline
    metric = one.metric(key)
    faces = manifest.splits[one.faces]
    drawn = "each face on its own"
    if one.clusters is not None:
        drawn = f"by {one.clusters}: the faces of one {one.clusters} are drawn together"
    rows = [
        ("name, version", f"`{one.name}`, version {one.version}"),
        ("dataset", f"[{manifest.title}](../../datasets/{manifest.name}.md)"),
        ("faces", f"split `{one.faces}`: {faces.count}, {md(faces.what)}"),
        *_truth(one, manifest),
        ("number to quote", f"**{md(metric.title)}, {one.groups[group]}**, in {metric.unit}"),
        ("[intervals](../../metrics.md#intervals) resample", drawn),
        ("a predictions file needs", md(one.needs)),
    ]
    metrics = [
        (
            code(m.key),
            f"{md(m.title)}\u00a0{m.arrow}",
            m.unit,
            _groups(one) if m.binned else "all",
            md(m.meaning),
        )
        for m in one.metrics
    ]
    commands = [f"facebench score predictions.h5 --protocol {one.name}"]
    commands.append(f"facebench compare baseline.h5 predictions.h5 --protocol {one.name}")
    if isinstance(one, VisibilityProtocol):
        formulas = VISIBILITY_FORMULAS.replace("LP", f"{one.level:g}P").replace("L;", f"{one.level:g} %;")
        formulas = formulas.replace("precision L", f"precision {one.level:g} %")
    else:
        formulas = LANDMARK_FORMULAS if isinstance(one, LandmarkProtocol) else POSE_FORMULAS
        formulas += BALANCED_FORMULA if one.bin_groups else ""
        commands.append(f"facebench explain predictions.h5 --protocol {one.name}")
    guides = (
        "How to [score predictions](../../score-predictions.md), "
        "[compare methods](../../compare-methods.md), "
        "[explain a difference](../../explain-a-difference.md), and "
        "[add a result](../../leaderboards.md#add-a-result)."
    )
    uncertain = ["## What is uncertain\n", *(f"- {md(what)}" for what in one.uncertain), ""]
    return "\n".join(
        [
            f"# {one.name}\n\n*{md(one.title)}.* {md(one.description)}\n",
            fence("\n".join(commands), "sh"),
            f"{guides} Results: `leaderboards/{one.dataset}.md` in the repository.\n",
            "## Definition\n",
            table(("", ""), rows),
            *_normalisers(one),
            *_faces_apart(one, manifest),
            "## Metrics\n\n↓ lower is better, ↑ higher is better. The formulas are explained in "
            "[Metrics](../../metrics.md).\n",
            table(("key", "title", "unit", "groups", "what it measures"), metrics),
            fence(formulas),
            "## Sources\n",
            *(f"- {md(source)}" for source in one.sources),
            "",
            *(uncertain if one.uncertain else ()),
        ]
    )


def protocols(name: str) -> str:
    """Return the table of the protocols of a dataset."""
    rows = [
        (
            f"[`{one.name}`]({one.name}.md)",
            md(one.title),
            get_dataset(name).manifest.splits[one.faces].count,
            f"{md(one.metric(one.headline[0]).title)}, {one.groups[one.headline[1]]}",
        )
        for one in protocols_of(name)
    ]
    return table(("protocol", "what is scored", "faces", "number to quote"), rows, right=(2,))


def _truth(one: Protocol, manifest: Manifest) -> list[tuple[str, str]]:
    """Return the rows of a definition that say what is compared with what."""
    if isinstance(one, LandmarkProtocol):
        truth = manifest.annotations[one.annotation]
        points = {"annotated": "all annotated ones, visible or not"}.get(
            one.counted, f"the {one.counted} ones"
        )
        if one.apart:
            points += f"; under `{one.normaliser}` also the {' and the '.join(one.apart)} ones apart"
        return [
            ("ground truth", f"annotation set `{one.annotation}` in scheme `{one.scheme}`: {md(truth.what)}"),
            ("index base", md(truth.index_base)),
            ("points that count", points),
            ("normaliser of the headline", f"[`{one.normaliser}`](../../metrics.md#normalisers)"),
        ]
    if isinstance(one, PoseProtocol):
        alike = "of all faces" if one.align_by is None else f"for each {one.align_by}"
        also = ", ".join(map(code, one.also))
        return [
            ("ground truth", f"pose `{one.pose}`" if one.pose else "the pose of the release"),
            ("where it comes from", md(manifest.pose)),
            (
                "Euler convention",
                f"[`{one.convention}`](../../conventions.md#four-euler-conventions)"
                + (f"; the MAE also in {also}" if also else ""),
            ),
            ("alignment", f"one rotation {alike}, in extra columns" if one.aligned else "none"),
        ]
    if isinstance(one, VisibilityProtocol):
        truth = manifest.annotations[one.annotation]
        positive = " and ".join(map(code, one.positive))
        return [
            ("ground truth", f"visibility of `{one.annotation}` in scheme `{one.scheme}`"),
            ("states", md(truth.visibility)),
            (
                "positive class",
                f"{positive}; negative is `visible`; points in any other [state]"
                "(../../conventions.md#visibility) do not count",
            ),
            ("level", f"recall is given at a precision of {one.level:g} %"),
        ]
    return []


def _groups(one: Protocol) -> str:
    subsets, bins = ["each subset"] * bool(one.subsets), ["each bin", BALANCED] * bool(one.bin_groups)
    return ", ".join(["all", *subsets, *bins])


def _normalisers(one: Protocol) -> list[str]:
    if not isinstance(one, LandmarkProtocol):
        return []
    rows = [
        (
            code(name) + (", the headline" if name == one.normaliser else ""),
            md(normaliser_meaning(name).removeprefix("divided by ")),
            ", ".join(f"{t:g} %" for t in thresholds),
        )
        for name, thresholds in one.normalisers.items()
    ]
    return [
        "## Normalisers\n\nWhat the distances of the points are "
        "[divided by](../../metrics.md#normalisers), always measured on the truth.\n",
        table(("name", "distance", "AUC and FR at"), rows),
    ]


def _faces_apart(one: Protocol, manifest: Manifest) -> list[str]:
    parts = []
    if one.yaw_bins:
        rows = [(md(one.groups[name]), code(name)) for name in one.bin_groups]
        parts += [
            "## Bins\n\nGroups of faces that are also reported apart, by the size of the true yaw in "
            f"`{one.yaw_convention}`. A bin holds its upper end, and the last one all that lies beyond.\n",
            table(("title", "group"), rows),
        ]
    counts = (
        "The counts are those of the whole dataset; only the faces of split "
        f"`{one.faces}` among them are scored.\n"
    )
    for heading, average, groups in (
        ("Bins", "", one.bins),
        ("Subsets", " No balanced mean is over them.", one.subsets),
    ):
        rows = [(md(title), code(split), manifest.splits[split].count) for title, split in groups.items()]
        if rows:
            parts += [
                f"## {heading}\n\nGroups of faces that are also reported apart.{average} {counts}",
                table(("title", "split", "faces"), rows, right=(2,)),
            ]
    return parts


def prepared_file() -> str:
    """Return the table of the arrays of a prepared dataset."""
    fields = (
        *schema.FIELDS,
        *(schema.POSE, schema.BOX, schema.SOURCE, schema.GROUP, schema.PATH),
        *(*schema.ANNOTATION, schema.SPLIT),
    )
    rows = [
        (
            code(field.path),
            f"({', '.join(map(str, field.shape))}{',' * (len(field.shape) == 1)})".replace("*", "c"),
            KINDS[field.kinds[0]],
            md(field.meaning),
            "yes" if field.required and "*" not in field.path else "",
        )
        for field in fields
    ]
    return table(("path", "shape", "kind", "content", "always there"), rows)


def conventions() -> str:
    """Return the table of the Euler conventions."""

    def product(one: EulerConvention) -> str:
        signs = {"X": ("pitch", one.pitch_sign), "Y": ("yaw", one.yaw_sign), "Z": ("roll", one.roll_sign)}
        turns = [
            f"R{axis.lower()}({'+' if signs[axis][1] > 0 else '−'}{signs[axis][0]})" for axis in one.order
        ]
        return " · ".join(turns)

    rows = [
        (
            code(one.name),
            product(one),
            "image left" if one.yaw_sign > 0 else "image right",
            "up" if one.pitch_sign < 0 else "down",
            "clockwise" if one.roll_sign > 0 else "counter-clockwise",
        )
        for one in CONVENTIONS.values()
    ]
    return table(("name", "R_cam", "yaw > 0: nose to", "pitch > 0: nose", "roll > 0: head turns"), rows)


def points() -> str:
    """Return the table of the points of ibug68, with their counterparts in aflw21."""
    scheme = get_scheme("ibug68")
    shared = {j: i for i, j in correspondences("aflw21", "ibug68")}
    rows = [
        (index, code(name), scheme.parts[index], scheme.flip[index], shared.get(index, ""))
        for index, name in enumerate(scheme.points)
    ]
    return table(("index", "name", "part", "mirror image", "same point in aflw21"), rows, right=(0, 3, 4))


def engines() -> str:
    """Return the table of the evaluation codes whose rules are known."""
    rows = [
        (code(name), md(engine.code), code(measure), md(rule.why))
        for name, engine in ENGINES.items()
        for measure, rule in engine.rules.items()
    ]
    return table(("engine", "whose code", "measure", "what its rule does"), rows)


def cli() -> str:
    """Return the reference of all commands."""
    parts = []

    def add(command: click.Command, path: str) -> None:
        context = click.Context(command, info_name=path)
        if isinstance(command, click.Group):
            if path != "facebench":
                parts.append(f"## {path}\n\n{inspect.cleandoc(command.help or '')}\n")
            for name in command.list_commands(context):
                add(command.get_command(context, name), f"{path} {name}")
            return
        pieces = " ".join(command.collect_usage_pieces(context))
        said = inspect.cleandoc(command.help or "")
        parts.append(f"## {path}\n\n{fence(f'{path} {pieces}')}\n{said}\n")
        for option in command.params:
            if isinstance(option, click.Option):
                parts.append(_option(option, context))

    add(commands, "facebench")
    return "\n".join(parts)


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(option.opts)
    takes = "" if option.is_flag else f" {option.make_metavar(context)}"
    notes = [option.help or ""]
    if option.required:
        notes.append("Required.")
    elif option.show_default:
        notes.append(f"Default: `{option.default}`.")
    if option.multiple and "several" not in notes[0]:
        notes.append("May be given several times.")
    return f"`{names}{takes}`\n: {' '.join(filter(None, notes)) or 'As its name says.'}\n\n"


def write(folder: Path, name: str, text: str) -> None:
    """Write a file only when it changes, so that Sphinx rebuilds no more than it must."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8", newline="\n")


def generate(app: Sphinx) -> None:
    source = Path(app.srcdir)
    folder = source / "generated"
    pages = []
    for name in DATASETS:
        manifest = get_dataset(name).manifest
        write(folder, f"datasets/{name}.md", dataset(manifest))
        pages.append(f"datasets/{name}")
        write(folder, f"protocols-{name}.md", protocols(name))
        for one in protocols_of(name):
            write(folder, f"{page_of(one)}.md", protocol(one, manifest))
            pages.append(page_of(one))
    write(folder, "prepared-file.md", prepared_file())
    write(folder, "conventions.md", conventions())
    write(folder, "points.md", points())
    write(folder, "engines.md", engines())
    write(folder, "cli.md", cli())
    for page in pages:
        if not (source / f"{page}.md").is_file():
            logger.warning("%s.md: missing; it should include generated/%s.md", page, page)
    explained = {
        "metrics.md": NORMALISERS,
        "conventions.md": tuple(VISIBILITY),
        "formats.md": (*ARRAYS, *ATTRIBUTES, *schema.ROOT_ATTRIBUTES),
        "tutorial.md": tuple(BASELINES),
    }
    for page, names in explained.items():
        text = (source / page).read_text(encoding="utf-8")
        for name in names:
            if f"`{name}`" not in text:
                logger.warning("%s: does not explain `%s`", page, name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
