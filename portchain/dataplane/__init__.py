"""Turns the plans of a host into OpenFlow flows of its switch. Pure: values in, values out."""
