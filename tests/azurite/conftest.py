import pathlib

import pytest
import trustme

from azurite import Azurite

# The package is not installed here but on the path; see pytest.ini.
pytest_plugins = ["spotflow_emulator.pytest_plugin"]


@pytest.fixture
def ca(tmp_path):
    return trustme.CA()


@pytest.fixture
def ca_file(ca, tmp_path):
    path = tmp_path / "azurite-ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def azurite(ca, ca_file, tmp_path):
    directory = tmp_path / "azurite"
    directory.mkdir()
    server = Azurite(directory, ca.issue_cert("127.0.0.1"), ca_file)
    yield server
    server.close()


@pytest.fixture
def trusted(spotflow_emulator, ca_file, tmp_path):
    """Both authorities in one file."""
    path = tmp_path / "trusted.pem"
    path.write_text(pathlib.Path(spotflow_emulator.ca_file).read_text() + ca_file.read_text())
    return path
