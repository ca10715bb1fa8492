"""The forms: one module for each kind of resource, and the form that makes a whole chain."""
