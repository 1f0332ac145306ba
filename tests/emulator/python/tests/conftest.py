# Named here, so that the tests also run where the package is not installed.
pytest_plugins = ["pytester", "spotflow_emulator.pytest_plugin"]
