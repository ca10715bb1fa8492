"""Makes Python collect garbage less often. uWSGI runs this file after it imported the modules.

It runs in the virtual environment of the lab's software, which may lack this package.
"""

import gc

# Python's own thresholds make Neutron spend a quarter of its processor time on looking for cycles
# among the half a million objects that its modules consist of. Frozen objects are left out.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)
