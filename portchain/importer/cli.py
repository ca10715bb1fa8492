"""Entry point of ``portchain-import``: runs ``command`` without the libraries' Python warnings."""

import importlib
import sys
import warnings


def main() -> int:
    """Run the program.

    :returns: the exit code, see ``--help``.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Some libraries warn while they are imported, so the import comes after the filter.
    command = importlib.import_module("portchain.importer.command")
    return int(command.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
