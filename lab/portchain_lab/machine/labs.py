"""What a lab needs in the virtual machine, beyond the root file system."""

import os
from pathlib import Path

from portchain_lab import layout, startup
from portchain_lab.cloud import database
from portchain_lab.hosts import underlay
from portchain_lab.lab import Lab
from portchain_lab.progress import Progress

MEMORY = "4500"
"""The machine's memory in megabytes."""
ENVIRONMENT = {
    "PORTCHAIN_LAB_ROOT": "/run/portchain-lab",  # in memory
    "PORTCHAIN_LAB_CACHE": str(layout.CACHE),
    "PORTCHAIN_LAB_PATIENCE": "10",
}
"""Environment variables of commands that use a lab there."""


def prepared_databases(report: Progress) -> Path:
    """Return the directory of the prepared databases. They are prepared here, which is faster."""
    found = database.prepared(layout.Software.installed())
    if not found.exists():
        # A name of its own: others may prepare them at the same time.
        with_databases = Lab(layout.Layout(f"p{os.getpid()}", hosts=1))
        try:
            startup.write_files(with_databases.layout)
            underlay.build(with_databases.layout)
            database.install(with_databases.layout, with_databases.processes, report)
        finally:
            with_databases.down()
    return found
