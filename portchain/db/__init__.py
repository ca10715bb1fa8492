"""The database of the server: tables, queries, and conversion to and from the model.

=================================  ==============================================================
``models``, ``migration``          the tables and their history
``lookup``                         resources as a caller may see them
``relations``, ``port_usage``      what belongs to what, for the rules and for Neutron's events
``snapshots``, ``ports``           rows to the model, as rules and drivers need them
``candidates``                     ports for which classifiers stand that do not name them
``key_search``                     conditions that find classifiers by keys which indexes know
``convert``, ``plain_attributes``  rows to the model and to answers of the API, attribute by
                                   attribute
``writer``, ``ids``                requests to rows, and allocation of numbers
``realisation``, ``status``        what hosts were sent and have confirmed, and what follows from it
``drift``                          chains whose realisation no longer matches their snapshot
``project_lock``                   makes requests of one project wait for each other
``source_networks``                where a chain looks for its sources, for the port's side, too
``sharing``                        RBAC policies of port pair groups
=================================  ==============================================================
"""
