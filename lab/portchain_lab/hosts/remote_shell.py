"""Stands for ssh and scp between hosts of the lab, by which Nova moves the disks of guests.

    python remote_shell.py FOLDERS ssh [-o OPTION]... ADDRESS COMMAND [ARGUMENT]...
    python remote_shell.py FOLDERS scp [-C] [-r] SOURCE ADDRESS:PATH

The hosts have one file system, in which each has a folder of its own for disks. So a command on
another host is one on that host's folder. This file runs as a script: it imports only what comes
with Python.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def translate(words: Sequence[str], place: str, hosts: Mapping[str, str]) -> list[str]:
    """Return the command that does here what the words of ssh or scp do on another host. Pure.

    :param words: the program and its arguments.
    :param place: where every host sees its folder.
    :param hosts: the folder of each host, by address.
    """
    program, *arguments = words
    if program == "scp":
        return ["cp", "-r", *(_local(end, place, hosts) for end in arguments[-2:])]
    while arguments[0] == "-o":
        arguments = arguments[2:]
    address, *command = arguments
    return [_inside(word, place, hosts[address]) for word in command]


def _local(end: str, place: str, hosts: Mapping[str, str]) -> str:
    """One end of a copy, ``PATH`` or ``ADDRESS:PATH``."""
    address, _, path = end.partition(":")
    return _inside(path, place, hosts[address]) if path else end


def _inside(word: str, place: str, folder: str) -> str:
    """A path of another host, in that host's folder; other words stay as they are."""
    return folder + word.removeprefix(place) if word.startswith(place) else word


def main(file: str, *words: str) -> None:
    """Replace this process by the command.

    :param file: JSON with the arguments of ``translate``.
    """
    argv = translate(words, **json.loads(Path(file).read_text()))
    os.execvp(argv[0], argv)  # noqa: S606  # that is the purpose


if __name__ == "__main__":
    main(*sys.argv[1:])
