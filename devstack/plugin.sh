#!/bin/bash
# DevStack sources this file with a mode and a phase: "stack install", for example. All functions that
# are not defined here are DevStack's.

function portchain_drivers {
    if [[ -n "$NEUTRON_PORTCHAIN_DRIVERS" ]]; then
        echo "$NEUTRON_PORTCHAIN_DRIVERS"
    elif [[ "$Q_AGENT" == ovn ]]; then
        echo ovn
    else
        echo ovs
    fi
}

# Without setup_develop: it reads the name of the package from every line of pyproject.toml that begins
# with "name", and takes it out of the constraints, where it is not.
function install_portchain {
    pip_install -e "$NEUTRON_PORTCHAIN_DIR"
}

function configure_portchain_server {
    neutron_service_plugin_class_add port_chain
    iniset "$NEUTRON_CONF" port_chain drivers "$(portchain_drivers)"
    "$NEUTRON_BIN_DIR/neutron-db-manage" --config-file "$NEUTRON_CONF" \
        --config-file "/$Q_PLUGIN_CONF_FILE" --subproject neutron-portchain upgrade heads
}

function configure_portchain_ovs_agent {
    plugin_agent_add_l2_agent_extension port_chain
    iniset "/$Q_PLUGIN_CONF_FILE" agent extensions "$L2_AGENT_EXTENSIONS"
}

function configure_portchain_ovn_agent {
    iniset "$OVN_AGENT_CONF" agent extensions "$OVN_AGENT_EXTENSIONS"
    iniset_rpc_backend neutron "$OVN_AGENT_CONF"
}

function configure_portchain {
    if is_service_enabled q-svc neutron-api; then
        configure_portchain_server
    fi
    if [[ "$Q_AGENT" == openvswitch ]] && is_service_enabled q-agt neutron-agent; then
        configure_portchain_ovs_agent
    fi
    if [[ "$Q_AGENT" == ovn ]] && is_service_enabled ovn-controller; then
        configure_portchain_ovn_agent
    fi
}

case "$1 ${2:-}" in
    "stack install")
        echo_summary "Installing neutron-portchain"
        install_portchain
        ;;
    "stack post-config")
        echo_summary "Configuring neutron-portchain"
        configure_portchain
        ;;
esac
