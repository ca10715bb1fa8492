"""Takes over what networking-sfc left in Neutron's database: its rows -> requests of our API -> our rows.

``legacy`` reads, ``translate`` says what each row means in our API, ``carry`` has the rules of the API look at it and writes,
``command`` is what the program ``portchain-import`` does.
"""
