"""Extension descriptors: one module per extension, because Neutron's loader demands it.

Neutron imports every module of this folder and loads the class that has the module's name, with
a capital first letter. So ``portchainstatus.py`` has to contain ``Portchainstatus``, and each alias
of `portchain.api.definitions.ALL` needs a module here. What an extension does is declared there.
"""
