"""Adds the panel to Horizon. Copy this file to ``openstack_dashboard/local/enabled``."""

PANEL = "port_chains"
PANEL_DASHBOARD = "project"
PANEL_GROUP = "network"
ADD_PANEL = "portchain_dashboard.panel.panel.PortChains"
ADD_INSTALLED_APPS = ["portchain_dashboard"]
