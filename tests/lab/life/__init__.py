"""The oracle of the lab's random life (``tests/lab/test_random.py``)."""
