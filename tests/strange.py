"""Values that a field of a provider's answer may hold though no document says so, for property tests."""

from typing import Any

from hypothesis import strategies as st

URL = "https://example.test/a.png"

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(URL)


def strange_values(*names: str) -> st.SearchStrategy[Any]:
    """Return JSON values of up to two levels; the keys of their objects are these names, or any text without names.

    The levels are written out: Hypothesis needs three times as long for examples of a recursive strategy.
    """
    keys = st.sampled_from(names) if names else st.text()
    shallow = st.lists(_PLAIN, max_size=3) | st.dictionaries(keys, _PLAIN, max_size=3)
    deep = st.lists(shallow, max_size=2) | st.dictionaries(keys, shallow, max_size=2)
    return _PLAIN | shallow | deep
