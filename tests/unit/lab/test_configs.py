"""The configuration of the lab's programs."""

from configparser import ConfigParser

from keystone.conf import opts
from portchain_lab.cloud import configs


def test_keystone_keeps_all_keys_in_the_labs_directory() -> None:
    """Otherwise a lab would need, and write, files of the machine in /etc/keystone."""
    groups = {
        group
        for group, options in opts.list_opts()
        if any(option.name == "key_repository" for option in options)
    }
    configured = ConfigParser()
    configured.read_string(configs.keystone("/lab"))
    assert len(groups) >= 3
    for group in groups:
        assert configured[group]["key_repository"].startswith("/lab/"), group
