import pytest

from carbon.processes import url_from_here


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8787"),
        ("0.0.0.0", "http://127.0.0.1:8787"),
        ("::", "http://[::1]:8787"),
        ("::1", "http://[::1]:8787"),
        ("ledger.example", "http://ledger.example:8787"),
    ],
)
def test_a_server_is_reached_by_an_address_even_where_it_listens_on_all(
    host: str, url: str
) -> None:
    assert url_from_here(host, 8787) == url
