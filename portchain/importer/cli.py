"""The program ``portchain-import``: starts ``command``, without what the libraries want to tell their own developers."""

import importlib
import sys
import warnings


def main() -> int:
    """Entry point of ``portchain-import``.

    :returns: the exit code, see ``--help``.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Some say it when they are imported.
    command = importlib.import_module("portchain.importer.command")
    return int(command.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
