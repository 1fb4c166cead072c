"""Signatures read back, long or short, and name what differs."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facebench.errors import UsageError
from facebench.protocols import Signature
from facebench.protocols.signature import LONG, SHORT

keys = st.one_of(
    st.sampled_from([*SHORT, *LONG]), st.text(st.characters(exclude_characters=":|"), min_size=1, max_size=8)
)
values = st.text(st.characters(exclude_characters="|"), min_size=1, max_size=12)
fields = st.dictionaries(keys, values, min_size=1, max_size=8)


def allowed(key):
    return key not in LONG or key in SHORT


@given(fields)
def test_both_texts_read_back(given_fields):
    assume(all(allowed(key) for key in given_fields))
    one = Signature(given_fields)
    for text in (str(one), one.short):
        assert Signature.parse(text) == one
        assert str(Signature.parse(text)) == str(one)
    assert len(one.short) <= len(str(one))


@given(fields)
def test_any_text_is_read_or_refused(given_fields):
    text = "|".join(f"{key}:{value}" for key, value in given_fields.items())
    try:
        read = Signature.parse(text)
    except UsageError:
        return
    assert Signature.parse(str(read)) == Signature.parse(read.short) == read


@given(st.text(max_size=30))
def test_texts_that_are_no_signature_are_refused_by_nothing_but_a_usage_error(text):
    try:
        read = Signature.parse(text)
    except UsageError:
        return
    assert str(Signature.parse(read.short)) == str(read)


def test_short_names_are_one_to_one():
    assert len(LONG) == len(SHORT)
    assert not [key for key in LONG if key in SHORT and LONG[key] != key]


@pytest.mark.parametrize("key", [key for key in LONG if key not in SHORT])
def test_a_field_named_like_a_short_name_is_refused(key):
    with pytest.raises(UsageError, match=f"'{key}' is the short name of '{LONG[key]}'"):
        Signature({key: "x"})


@pytest.mark.parametrize("text", ["p:a|protocol:b", "n:1|n:2", "fb:1|facebench:1"])
def test_a_key_in_both_its_forms_is_refused(text):
    with pytest.raises(UsageError, match="a key occurs twice"):
        Signature.parse(text)


@given(fields, fields, st.sets(keys))
def test_differences_name_each_field_once_and_turn_with_the_order(first, second, ignored):
    assume(all(allowed(key) for key in {**first, **second}))
    one, other = Signature(first), Signature(second)
    assert one.differences(one) == []
    found = one.differences(other, ignored)
    wanted = {k for k in {**first, **second} if first.get(k) != second.get(k)} - ignored
    assume("absent" not in {*first.values(), *second.values()})
    assert {text.partition(": ")[0] for text in found} == wanted
    assert len(found) == len(other.differences(one, ignored)) == len(wanted)


def test_differences_show_both_values():
    one, other = Signature({"n": "34", "box": "mtcnn"}), Signature({"n": "36", "test": "x"})
    assert one.differences(other) == ["n: 34 and 36", "box: mtcnn and absent", "test: absent and x"]
    assert one.differences(other, ["n", "test"]) == ["box: mtcnn and absent"]


def test_extended_adds_and_leaves_the_first_as_it_is():
    one = Signature({"n": "1"})
    assert str(one.extended(metric="e", group="all")) == "n:1|metric:e|group:all"
    assert one.extended(metric="e").short == "n:1|e:e"
    assert str(one) == "n:1"
