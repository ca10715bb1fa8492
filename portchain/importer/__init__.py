"""Imports the resources of networking-sfc from Neutron's database.

The import reads rows of networking-sfc, turns each into a request of our API, and lets the code
that serves such requests check and write it:

* ``legacy`` reads the rows;
* ``translate`` turns rows into requests;
* ``apply`` checks and writes them;
* ``command`` is the program ``portchain-import``.
"""
