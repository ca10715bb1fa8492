"""Extension descriptors: one module per extension, because Neutron's loader demands it.

Neutron imports every module of this folder and takes the class whose name is the module's with a
capital first letter. So ``portchainstatus.py`` has to contain ``Portchainstatus``, and each alias
of `portchain.api.definitions.ALL` needs a module here. What an extension does is declared there.
"""
