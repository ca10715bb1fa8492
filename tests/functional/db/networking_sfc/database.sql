SET foreign_key_checks = 0;
CREATE TABLE `address_associations` (
  `address` varchar(64) NOT NULL,
  `address_group_id` varchar(36) NOT NULL,
  PRIMARY KEY (`address`,`address_group_id`),
  KEY `address_group_id` (`address_group_id`),
  CONSTRAINT `address_associations_ibfk_1` FOREIGN KEY (`address_group_id`) REFERENCES `address_groups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `address_groups` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_address_groups0standard_attr_id` (`standard_attr_id`),
  KEY `ix_address_groups_project_id` (`project_id`),
  CONSTRAINT `address_groups_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `address_scopes` (
  `id` varchar(36) NOT NULL,
  `name` varchar(255) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `shared` tinyint(1) NOT NULL DEFAULT 0,
  `ip_version` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  KEY `ix_address_scopes_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `addressgrouprbacs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `target_project` varchar(255) NOT NULL,
  `action` varchar(255) NOT NULL,
  `object_id` varchar(36) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_addressgrouprbacs0target_project0object_id0action` (`target_project`,`object_id`,`action`),
  KEY `object_id` (`object_id`),
  KEY `ix_addressgrouprbacs_project_id` (`project_id`),
  KEY `ix_addressgrouprbacs_action` (`action`),
  KEY `ix_addressgrouprbacs_target_project` (`target_project`),
  CONSTRAINT `addressgrouprbacs_ibfk_1` FOREIGN KEY (`object_id`) REFERENCES `address_groups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `addressscoperbacs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `target_project` varchar(255) NOT NULL,
  `action` varchar(255) NOT NULL,
  `object_id` varchar(36) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_addressscoperbacs0target_project0object_id0action` (`target_project`,`object_id`,`action`),
  KEY `object_id` (`object_id`),
  KEY `ix_addressscoperbacs_project_id` (`project_id`),
  KEY `ix_addressscoperbacs_action` (`action`),
  KEY `ix_addressscoperbacs_target_project` (`target_project`),
  CONSTRAINT `addressscoperbacs_ibfk_1` FOREIGN KEY (`object_id`) REFERENCES `address_scopes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `agents` (
  `id` varchar(36) NOT NULL,
  `agent_type` varchar(255) NOT NULL,
  `binary` varchar(255) NOT NULL,
  `topic` varchar(255) NOT NULL,
  `host` varchar(255) NOT NULL,
  `admin_state_up` tinyint(1) NOT NULL DEFAULT 1,
  `created_at` datetime NOT NULL,
  `started_at` datetime NOT NULL,
  `heartbeat_timestamp` datetime NOT NULL,
  `description` varchar(255) DEFAULT NULL,
  `configurations` varchar(4095) NOT NULL,
  `load` int(11) NOT NULL DEFAULT 0,
  `availability_zone` varchar(255) DEFAULT NULL,
  `resource_versions` varchar(8191) DEFAULT NULL,
  `resources_synced` tinyint(1) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_agents0agent_type0host` (`agent_type`,`host`),
  KEY `ix_agents_host` (`host`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `agents` VALUES ('b2b78bfc-c70f-42c3-b5ff-32edffe5fd30', 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A', 'h1', 1, '2026-11-25 00:31:54', '2026-11-25 00:31:59', '2026-11-25 00:48:55', NULL, '{\"arp_responder_enabled\": false, \"baremetal_smartnic\": false, \"bridge_mappings\": {}, \"datapath_type\": \"netdev\", \"devices\": 0, \"enable_distributed_routing\": false, \"extensions\": [\"sfc\"], \"in_distributed_mode\": false, \"integration_bridge\": \"br-int\", \"l2_population\": false, \"log_agent_heartbeats\": false, \"ovs_capabilities\": {\"datapath_types\": [\"netdev\"], \"iface_types\": [\"afxdp\", \"afxdp-nonpmd\", \"bareudp\", \"erspan\", \"geneve\", \"gre\", \"gtpu\", \"internal\", \"ip6erspan\", \"ip6gre\", \"lisp\", \"patch\", \"stt\", \"system\", \"tap\", \"vxlan\"]}, \"ovs_hybrid_plug\": false, \"resource_provider_bandwidths\": {}, \"resource_provider_hypervisors\": {\"rp_tunnelled\": \"vm\"}, \"resource_provider_inventory_defaults\": {\"allocation_ratio\": 1.0, \"min_unit\": 1, \"step_size\": 1, \"reserved\": 0}, \"resource_provider_packet_processing_inventory_defaults\": {\"allocation_ratio\": 1.0, \"min_unit\": 1, \"step_size\": 1, \"reserved\": 0}, \"resource_provider_packet_processing_with_direction\": {}, \"resource_provider_packet_processing_without_direction\": {}, \"tunnel_types\": [\"vxlan\"], \"tunneling_ip\": \"10.102.0.11\", \"vhostuser_socket_dir\": \"/var/run/openvswitch\"}', 0, NULL, '{\"AddressGroup\": \"1.2\", \"Agent\": \"1.1\", \"ConntrackHelper\": \"1.0\", \"LocalIPAssociation\": \"1.0\", \"Log\": \"1.0\", \"NDPProxy\": \"1.0\", \"Network\": \"1.3\", \"Port\": \"1.11\", \"PortForwarding\": \"1.3\", \"QosPolicy\": \"1.10\", \"SecurityGroup\": \"1.6\", \"SecurityGroupRule\": \"1.3\", \"SubPort\": \"1.0\", \"Subnet\": \"1.2\", \"Trunk\": \"1.1\"}', NULL);
CREATE TABLE `alembic_version` (
  `version_num` varchar(32) NOT NULL,
  PRIMARY KEY (`version_num`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `alembic_version` VALUES ('5c85685d616d');
INSERT INTO `alembic_version` VALUES ('c7f8d9e0f1a2');
CREATE TABLE `alembic_version_sfc` (
  `version_num` varchar(32) NOT NULL,
  PRIMARY KEY (`version_num`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `alembic_version_sfc` VALUES ('06382790fb2c');
INSERT INTO `alembic_version_sfc` VALUES ('a3ad63aa834f');
CREATE TABLE `allowedaddresspairs` (
  `port_id` varchar(36) NOT NULL,
  `mac_address` varchar(32) NOT NULL,
  `ip_address` varchar(64) NOT NULL,
  PRIMARY KEY (`port_id`,`mac_address`,`ip_address`),
  CONSTRAINT `allowedaddresspairs_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `auto_allocated_topologies` (
  `project_id` varchar(255) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  `router_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`project_id`),
  KEY `network_id` (`network_id`),
  KEY `router_id` (`router_id`),
  CONSTRAINT `auto_allocated_topologies_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE,
  CONSTRAINT `auto_allocated_topologies_ibfk_2` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `bgp_peers` (
  `id` varchar(36) NOT NULL,
  `name` varchar(255) NOT NULL,
  `auth_type` varchar(16) NOT NULL,
  `password` varchar(255) DEFAULT NULL,
  `peer_ip` varchar(64) NOT NULL,
  `remote_as` int(11) NOT NULL,
  `tenant_id` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `ix_bgp_peers_tenant_id` (`tenant_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `bgp_speaker_dragent_bindings` (
  `agent_id` varchar(36) NOT NULL,
  `bgp_speaker_id` varchar(36) NOT NULL,
  PRIMARY KEY (`agent_id`),
  KEY `bgp_speaker_id` (`bgp_speaker_id`),
  CONSTRAINT `bgp_speaker_dragent_bindings_ibfk_1` FOREIGN KEY (`agent_id`) REFERENCES `agents` (`id`) ON DELETE CASCADE,
  CONSTRAINT `bgp_speaker_dragent_bindings_ibfk_2` FOREIGN KEY (`bgp_speaker_id`) REFERENCES `bgp_speakers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `bgp_speaker_network_bindings` (
  `bgp_speaker_id` varchar(36) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  `ip_version` int(11) NOT NULL,
  PRIMARY KEY (`network_id`,`bgp_speaker_id`,`ip_version`),
  KEY `bgp_speaker_id` (`bgp_speaker_id`),
  CONSTRAINT `bgp_speaker_network_bindings_ibfk_1` FOREIGN KEY (`bgp_speaker_id`) REFERENCES `bgp_speakers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `bgp_speaker_network_bindings_ibfk_2` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `bgp_speaker_peer_bindings` (
  `bgp_speaker_id` varchar(36) NOT NULL,
  `bgp_peer_id` varchar(36) NOT NULL,
  PRIMARY KEY (`bgp_speaker_id`,`bgp_peer_id`),
  KEY `bgp_peer_id` (`bgp_peer_id`),
  CONSTRAINT `bgp_speaker_peer_bindings_ibfk_1` FOREIGN KEY (`bgp_speaker_id`) REFERENCES `bgp_speakers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `bgp_speaker_peer_bindings_ibfk_2` FOREIGN KEY (`bgp_peer_id`) REFERENCES `bgp_peers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `bgp_speakers` (
  `id` varchar(36) NOT NULL,
  `name` varchar(255) NOT NULL,
  `local_as` int(11) NOT NULL,
  `ip_version` int(11) NOT NULL,
  `tenant_id` varchar(255) DEFAULT NULL,
  `advertise_floating_ip_host_routes` tinyint(1) NOT NULL,
  `advertise_tenant_networks` tinyint(1) NOT NULL,
  PRIMARY KEY (`id`),
  KEY `ix_bgp_speakers_tenant_id` (`tenant_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `conntrack_helpers` (
  `id` varchar(36) NOT NULL,
  `router_id` varchar(36) NOT NULL,
  `protocol` varchar(40) NOT NULL,
  `port` int(11) NOT NULL,
  `helper` varchar(64) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_conntrack_helpers0router_id0protocol0port0helper` (`router_id`,`protocol`,`port`,`helper`),
  CONSTRAINT `conntrack_helpers_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `default_security_group` (
  `project_id` varchar(255) NOT NULL,
  `security_group_id` varchar(36) NOT NULL,
  PRIMARY KEY (`project_id`),
  KEY `security_group_id` (`security_group_id`),
  CONSTRAINT `default_security_group_ibfk_1` FOREIGN KEY (`security_group_id`) REFERENCES `securitygroups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `default_security_group` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `default_security_group` VALUES ('c97ce6e456784c5f921327d732fe631f', 'f57e0616-be83-49b5-89af-9a07af454c8a');
CREATE TABLE `dnsnameservers` (
  `address` varchar(128) NOT NULL,
  `subnet_id` varchar(36) NOT NULL,
  `order` int(11) NOT NULL DEFAULT 0,
  PRIMARY KEY (`address`,`subnet_id`),
  KEY `subnet_id` (`subnet_id`),
  CONSTRAINT `dnsnameservers_ibfk_1` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `dvr_fip_gateway_port_network` (
  `network_id` varchar(36) NOT NULL,
  `agent_id` varchar(36) NOT NULL,
  PRIMARY KEY (`network_id`,`agent_id`),
  KEY `agent_id` (`agent_id`),
  CONSTRAINT `dvr_fip_gateway_port_network_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE,
  CONSTRAINT `dvr_fip_gateway_port_network_ibfk_2` FOREIGN KEY (`agent_id`) REFERENCES `agents` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `dvr_host_macs` (
  `host` varchar(255) NOT NULL,
  `mac_address` varchar(32) NOT NULL,
  PRIMARY KEY (`host`),
  UNIQUE KEY `mac_address` (`mac_address`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `evpn_advertised_ports` (
  `port_id` varchar(36) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  PRIMARY KEY (`port_id`),
  KEY `port_id` (`port_id`,`network_id`),
  KEY `network_id` (`network_id`),
  CONSTRAINT `evpn_advertised_ports_ibfk_1` FOREIGN KEY (`port_id`, `network_id`) REFERENCES `ports` (`id`, `network_id`) ON DELETE CASCADE,
  CONSTRAINT `evpn_advertised_ports_ibfk_2` FOREIGN KEY (`network_id`) REFERENCES `evpn_networks` (`network_id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `evpn_l3_instances` (
  `router_id` varchar(36) NOT NULL,
  `mapping_id` varchar(36) NOT NULL,
  PRIMARY KEY (`router_id`),
  UNIQUE KEY `mapping_id` (`mapping_id`),
  CONSTRAINT `evpn_l3_instances_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`),
  CONSTRAINT `evpn_l3_instances_ibfk_2` FOREIGN KEY (`mapping_id`) REFERENCES `vni_vlan_mapping` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `evpn_networks` (
  `network_id` varchar(36) NOT NULL,
  `router_id` varchar(36) NOT NULL,
  PRIMARY KEY (`network_id`),
  KEY `router_id` (`router_id`),
  CONSTRAINT `evpn_networks_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`),
  CONSTRAINT `evpn_networks_ibfk_2` FOREIGN KEY (`router_id`) REFERENCES `evpn_l3_instances` (`router_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `externalnetworks` (
  `network_id` varchar(36) NOT NULL,
  `is_default` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`network_id`),
  CONSTRAINT `externalnetworks_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `extradhcpopts` (
  `id` varchar(36) NOT NULL,
  `port_id` varchar(36) NOT NULL,
  `opt_name` varchar(64) NOT NULL,
  `opt_value` varchar(255) NOT NULL,
  `ip_version` int(11) NOT NULL DEFAULT 4,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_extradhcpopts0portid0optname0ipversion` (`port_id`,`opt_name`,`ip_version`),
  CONSTRAINT `extradhcpopts_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `flavors` (
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `description` varchar(1024) DEFAULT NULL,
  `enabled` tinyint(1) NOT NULL DEFAULT 1,
  `service_type` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `flavorserviceprofilebindings` (
  `service_profile_id` varchar(36) NOT NULL,
  `flavor_id` varchar(36) NOT NULL,
  PRIMARY KEY (`service_profile_id`,`flavor_id`),
  KEY `flavorserviceprofilebindings_ibfk_2` (`flavor_id`),
  CONSTRAINT `flavorserviceprofilebindings_ibfk_1` FOREIGN KEY (`service_profile_id`) REFERENCES `serviceprofiles` (`id`) ON DELETE CASCADE,
  CONSTRAINT `flavorserviceprofilebindings_ibfk_2` FOREIGN KEY (`flavor_id`) REFERENCES `flavors` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `floatingipdnses` (
  `floatingip_id` varchar(36) NOT NULL,
  `dns_name` varchar(255) NOT NULL,
  `dns_domain` varchar(255) NOT NULL,
  `published_dns_name` varchar(255) NOT NULL,
  `published_dns_domain` varchar(255) NOT NULL,
  PRIMARY KEY (`floatingip_id`),
  CONSTRAINT `floatingipdnses_ibfk_1` FOREIGN KEY (`floatingip_id`) REFERENCES `floatingips` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `floatingips` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `floating_ip_address` varchar(64) NOT NULL,
  `floating_network_id` varchar(36) NOT NULL,
  `floating_port_id` varchar(36) NOT NULL,
  `fixed_port_id` varchar(36) DEFAULT NULL,
  `fixed_ip_address` varchar(64) DEFAULT NULL,
  `router_id` varchar(36) DEFAULT NULL,
  `last_known_router_id` varchar(36) DEFAULT NULL,
  `status` varchar(16) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_floatingips0standard_attr_id` (`standard_attr_id`),
  UNIQUE KEY `uniq_floatingips0floatingnetworkid0fixedportid0fixedipaddress` (`floating_network_id`,`fixed_port_id`,`fixed_ip_address`),
  KEY `fixed_port_id` (`fixed_port_id`),
  KEY `floating_port_id` (`floating_port_id`),
  KEY `router_id` (`router_id`),
  KEY `ix_floatingips_project_id` (`project_id`),
  CONSTRAINT `floatingips_ibfk_1` FOREIGN KEY (`fixed_port_id`) REFERENCES `ports` (`id`),
  CONSTRAINT `floatingips_ibfk_2` FOREIGN KEY (`floating_port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `floatingips_ibfk_3` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`),
  CONSTRAINT `floatingips_ibfk_4` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ha_router_agent_port_bindings` (
  `port_id` varchar(36) NOT NULL,
  `router_id` varchar(36) NOT NULL,
  `l3_agent_id` varchar(36) DEFAULT NULL,
  `state` enum('active','standby','unknown') DEFAULT 'standby',
  PRIMARY KEY (`port_id`),
  UNIQUE KEY `uniq_ha_router_agent_port_bindings0port_id0l3_agent_id` (`router_id`,`l3_agent_id`),
  KEY `l3_agent_id` (`l3_agent_id`),
  CONSTRAINT `ha_router_agent_port_bindings_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ha_router_agent_port_bindings_ibfk_2` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ha_router_agent_port_bindings_ibfk_3` FOREIGN KEY (`l3_agent_id`) REFERENCES `agents` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ha_router_networks` (
  `project_id` varchar(255) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  PRIMARY KEY (`project_id`,`network_id`),
  UNIQUE KEY `uniq_ha_router_networks0project_id` (`project_id`),
  KEY `network_id` (`network_id`),
  CONSTRAINT `ha_router_networks_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ha_router_vrid_allocations` (
  `network_id` varchar(36) NOT NULL,
  `vr_id` int(11) NOT NULL,
  PRIMARY KEY (`network_id`,`vr_id`),
  CONSTRAINT `ha_router_vrid_allocations_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ipallocationpools` (
  `id` varchar(36) NOT NULL,
  `subnet_id` varchar(36) DEFAULT NULL,
  `first_ip` varchar(64) NOT NULL,
  `last_ip` varchar(64) NOT NULL,
  PRIMARY KEY (`id`),
  KEY `subnet_id` (`subnet_id`),
  CONSTRAINT `ipallocationpools_ibfk_1` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ipallocationpools` VALUES ('a9ee757e-9d8a-4a6c-9fcb-728500df52e9', '35611da6-0183-466d-a233-f2cfff756754', '10.71.0.2', '10.71.0.254');
INSERT INTO `ipallocationpools` VALUES ('f2d11b94-2b0a-4e65-9dac-daf52b4e8822', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '10.72.0.2', '10.72.0.254');
CREATE TABLE `ipallocations` (
  `port_id` varchar(36) DEFAULT NULL,
  `ip_address` varchar(64) NOT NULL,
  `subnet_id` varchar(36) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  PRIMARY KEY (`ip_address`,`subnet_id`,`network_id`),
  KEY `network_id` (`network_id`),
  KEY `port_id` (`port_id`),
  KEY `subnet_id` (`subnet_id`),
  CONSTRAINT `ipallocations_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ipallocations_ibfk_2` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ipallocations_ibfk_3` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ipallocations` VALUES ('0ebbf220-0c37-421a-9e6a-3a58e946961c', '10.72.0.160', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('162988a6-e8f8-4e80-99ff-08db19b64e7b', '10.72.0.152', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('1f6098ce-31fa-42b2-9ef0-3deddd8d335b', '10.72.0.212', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('25964cfe-5c93-4e19-bd02-a88a4a4fe6e0', '10.72.0.18', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('26e9de3d-6eb6-4b51-981c-1a0bdf879915', '10.71.0.109', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('28f076cd-47e5-4d7a-b937-8a1f796b8642', '10.72.0.176', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('369a6455-7a79-437d-9196-aaedc1e58702', '10.71.0.125', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('37dc4d01-1265-41e3-b263-7e528d9eddaf', '10.72.0.67', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', '10.71.0.33', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('47cfb57a-4283-4c41-966b-877f9b81baaa', '10.71.0.129', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('4ea45e18-ccde-4aab-8c47-0105c7640ff7', '10.71.0.64', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('55d40509-bc05-4c32-b808-3418d7b76313', '10.72.0.27', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('68d8c8b8-cf5b-423d-a931-41671357262d', '10.71.0.204', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('6a04952a-594e-4473-aace-3479a475f49f', '10.72.0.111', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('7953b5d8-125c-437f-94a4-c5f902e825e5', '10.71.0.105', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', '10.71.0.163', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('85f04430-5528-4404-8e1b-560ca85897c2', '10.71.0.132', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('89d7e34a-7635-4d35-b174-472e9c688acb', '10.72.0.16', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('8b7d45ed-fbf0-436b-98ba-d11b736ee50e', '10.71.0.165', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('9151253e-4104-49c0-9a7c-e6ea60506a23', '10.71.0.182', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('9c123e1a-2cc8-4839-ba66-fdccb199d990', '10.72.0.214', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('ae5c9fdc-af4f-4594-bde4-7dc0f62d1d21', '10.72.0.206', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', '10.71.0.95', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('bd929916-2126-4188-985a-efafe42f35e2', '10.71.0.82', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
INSERT INTO `ipallocations` VALUES ('bf1d7f9d-d2ca-4bbf-9003-319a1e60cdb3', '10.72.0.36', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('ea03d9e3-f8e7-4970-86b9-2428d147a300', '10.72.0.232', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('ec50bc46-6166-4dc2-906f-a252feb48e94', '10.72.0.131', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '499bb100-03a6-4893-8076-1db14e8d11cb');
INSERT INTO `ipallocations` VALUES ('f043296c-88e0-419e-aad3-259a7377ecb0', '10.71.0.252', '35611da6-0183-466d-a233-f2cfff756754', 'ebd33dcc-2403-4340-a470-15b9b920bae3');
CREATE TABLE `ipamallocationpools` (
  `id` varchar(36) NOT NULL,
  `ipam_subnet_id` varchar(36) NOT NULL,
  `first_ip` varchar(64) NOT NULL,
  `last_ip` varchar(64) NOT NULL,
  PRIMARY KEY (`id`),
  KEY `ipam_subnet_id` (`ipam_subnet_id`),
  CONSTRAINT `ipamallocationpools_ibfk_1` FOREIGN KEY (`ipam_subnet_id`) REFERENCES `ipamsubnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ipamallocationpools` VALUES ('964bd56b-ca23-4a5c-81c4-62c9a7c04f52', '7fc72331-1375-4e18-8d38-2cd28f298563', '10.72.0.2', '10.72.0.254');
INSERT INTO `ipamallocationpools` VALUES ('a04b7a35-075b-4eeb-9803-cb5b41c55a3b', '2f7474b2-b1dc-4383-9aff-646393930b7f', '10.71.0.2', '10.71.0.254');
CREATE TABLE `ipamallocations` (
  `ip_address` varchar(64) NOT NULL,
  `status` varchar(36) DEFAULT NULL,
  `ipam_subnet_id` varchar(36) NOT NULL,
  PRIMARY KEY (`ip_address`,`ipam_subnet_id`),
  KEY `ipam_subnet_id` (`ipam_subnet_id`),
  CONSTRAINT `ipamallocations_ibfk_1` FOREIGN KEY (`ipam_subnet_id`) REFERENCES `ipamsubnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ipamallocations` VALUES ('10.71.0.105', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.109', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.125', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.129', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.132', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.163', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.165', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.182', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.204', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.252', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.33', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.64', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.82', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.71.0.95', 'ALLOCATED', '2f7474b2-b1dc-4383-9aff-646393930b7f');
INSERT INTO `ipamallocations` VALUES ('10.72.0.111', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.131', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.152', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.16', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.160', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.176', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.18', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.206', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.212', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.214', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.232', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.27', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.36', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
INSERT INTO `ipamallocations` VALUES ('10.72.0.67', 'ALLOCATED', '7fc72331-1375-4e18-8d38-2cd28f298563');
CREATE TABLE `ipamsubnets` (
  `id` varchar(36) NOT NULL,
  `neutron_subnet_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ipamsubnets` VALUES ('2f7474b2-b1dc-4383-9aff-646393930b7f', '35611da6-0183-466d-a233-f2cfff756754');
INSERT INTO `ipamsubnets` VALUES ('7fc72331-1375-4e18-8d38-2cd28f298563', '779d5799-8f6d-4f8a-b5e2-5229391b6973');
CREATE TABLE `local_ip_associations` (
  `local_ip_id` varchar(36) NOT NULL,
  `fixed_port_id` varchar(36) NOT NULL,
  `fixed_ip` varchar(64) NOT NULL,
  PRIMARY KEY (`local_ip_id`,`fixed_port_id`),
  KEY `fixed_port_id` (`fixed_port_id`),
  CONSTRAINT `local_ip_associations_ibfk_1` FOREIGN KEY (`local_ip_id`) REFERENCES `local_ips` (`id`),
  CONSTRAINT `local_ip_associations_ibfk_2` FOREIGN KEY (`fixed_port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `local_ips` (
  `id` varchar(36) NOT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `local_port_id` varchar(36) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  `local_ip_address` varchar(64) NOT NULL,
  `ip_mode` varchar(32) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `standard_attr_id` (`standard_attr_id`),
  KEY `local_port_id` (`local_port_id`),
  KEY `ix_local_ips_project_id` (`project_id`),
  CONSTRAINT `local_ips_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE,
  CONSTRAINT `local_ips_ibfk_2` FOREIGN KEY (`local_port_id`) REFERENCES `ports` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `logs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `resource_type` varchar(36) NOT NULL,
  `resource_id` varchar(36) DEFAULT NULL,
  `target_id` varchar(36) DEFAULT NULL,
  `event` varchar(255) NOT NULL,
  `enabled` tinyint(1) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `standard_attr_id` (`standard_attr_id`),
  KEY `ix_logs_target_id` (`target_id`),
  KEY `ix_logs_project_id` (`project_id`),
  KEY `ix_logs_resource_id` (`resource_id`),
  CONSTRAINT `logs_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `meteringlabelrules` (
  `id` varchar(36) NOT NULL,
  `direction` enum('ingress','egress') DEFAULT NULL,
  `remote_ip_prefix` varchar(64) DEFAULT NULL,
  `metering_label_id` varchar(36) NOT NULL,
  `excluded` tinyint(1) DEFAULT 0,
  `source_ip_prefix` varchar(64) DEFAULT NULL,
  `destination_ip_prefix` varchar(64) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `metering_label_id` (`metering_label_id`),
  CONSTRAINT `meteringlabelrules_ibfk_1` FOREIGN KEY (`metering_label_id`) REFERENCES `meteringlabels` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `meteringlabels` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `description` varchar(1024) DEFAULT NULL,
  `shared` tinyint(1) DEFAULT 0,
  PRIMARY KEY (`id`),
  KEY `ix_meteringlabels_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_distributed_port_bindings` (
  `port_id` varchar(36) NOT NULL,
  `host` varchar(255) NOT NULL,
  `router_id` varchar(36) DEFAULT NULL,
  `vif_type` varchar(64) NOT NULL,
  `vif_details` varchar(4095) NOT NULL DEFAULT '',
  `vnic_type` varchar(64) NOT NULL DEFAULT 'normal',
  `profile` varchar(4095) NOT NULL DEFAULT '',
  `status` varchar(16) NOT NULL,
  PRIMARY KEY (`port_id`,`host`),
  CONSTRAINT `ml2_distributed_port_bindings_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_flat_allocations` (
  `physical_network` varchar(64) NOT NULL,
  PRIMARY KEY (`physical_network`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_geneve_allocations` (
  `geneve_vni` int(11) NOT NULL,
  `allocated` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`geneve_vni`),
  KEY `ix_ml2_geneve_allocations_allocated` (`allocated`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_geneve_endpoints` (
  `ip_address` varchar(64) NOT NULL,
  `host` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`ip_address`),
  UNIQUE KEY `unique_ml2_geneve_endpoints0host` (`host`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_gre_allocations` (
  `gre_id` int(11) NOT NULL,
  `allocated` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`gre_id`),
  KEY `ix_ml2_gre_allocations_allocated` (`allocated`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_gre_endpoints` (
  `ip_address` varchar(64) NOT NULL,
  `host` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`ip_address`),
  UNIQUE KEY `unique_ml2_gre_endpoints0host` (`host`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_port_binding_levels` (
  `port_id` varchar(36) NOT NULL,
  `host` varchar(255) NOT NULL,
  `level` int(11) NOT NULL,
  `driver` varchar(64) DEFAULT NULL,
  `segment_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`port_id`,`host`,`level`),
  KEY `ml2_port_binding_levels_ibfk_2` (`segment_id`),
  CONSTRAINT `ml2_port_binding_levels_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ml2_port_binding_levels_ibfk_2` FOREIGN KEY (`segment_id`) REFERENCES `networksegments` (`id`) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ml2_port_binding_levels` VALUES ('0ebbf220-0c37-421a-9e6a-3a58e946961c', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('162988a6-e8f8-4e80-99ff-08db19b64e7b', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('1f6098ce-31fa-42b2-9ef0-3deddd8d335b', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('25964cfe-5c93-4e19-bd02-a88a4a4fe6e0', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('26e9de3d-6eb6-4b51-981c-1a0bdf879915', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('28f076cd-47e5-4d7a-b937-8a1f796b8642', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('369a6455-7a79-437d-9196-aaedc1e58702', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('37dc4d01-1265-41e3-b263-7e528d9eddaf', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('47cfb57a-4283-4c41-966b-877f9b81baaa', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('4ea45e18-ccde-4aab-8c47-0105c7640ff7', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('55d40509-bc05-4c32-b808-3418d7b76313', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('68d8c8b8-cf5b-423d-a931-41671357262d', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('6a04952a-594e-4473-aace-3479a475f49f', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('7953b5d8-125c-437f-94a4-c5f902e825e5', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('85f04430-5528-4404-8e1b-560ca85897c2', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('89d7e34a-7635-4d35-b174-472e9c688acb', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('8b7d45ed-fbf0-436b-98ba-d11b736ee50e', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('9151253e-4104-49c0-9a7c-e6ea60506a23', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('9c123e1a-2cc8-4839-ba66-fdccb199d990', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('ae5c9fdc-af4f-4594-bde4-7dc0f62d1d21', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('bd929916-2126-4188-985a-efafe42f35e2', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
INSERT INTO `ml2_port_binding_levels` VALUES ('bf1d7f9d-d2ca-4bbf-9003-319a1e60cdb3', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('ea03d9e3-f8e7-4970-86b9-2428d147a300', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('ec50bc46-6166-4dc2-906f-a252feb48e94', 'h1', 0, 'openvswitch', '5d802dfc-0d6b-48da-8cb0-81800070e33e');
INSERT INTO `ml2_port_binding_levels` VALUES ('f043296c-88e0-419e-aad3-259a7377ecb0', 'h1', 0, 'openvswitch', '6e4c42f0-8dbe-4103-8c49-f1102e0c2a62');
CREATE TABLE `ml2_port_bindings` (
  `port_id` varchar(36) NOT NULL,
  `host` varchar(255) NOT NULL DEFAULT '',
  `vif_type` varchar(64) NOT NULL,
  `vnic_type` varchar(64) NOT NULL DEFAULT 'normal',
  `profile` varchar(4095) NOT NULL DEFAULT '',
  `vif_details` varchar(4095) NOT NULL DEFAULT '',
  `status` varchar(16) NOT NULL DEFAULT 'ACTIVE',
  PRIMARY KEY (`port_id`,`host`),
  CONSTRAINT `ml2_port_bindings_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ml2_port_bindings` VALUES ('0ebbf220-0c37-421a-9e6a-3a58e946961c', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('162988a6-e8f8-4e80-99ff-08db19b64e7b', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('1f6098ce-31fa-42b2-9ef0-3deddd8d335b', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('25964cfe-5c93-4e19-bd02-a88a4a4fe6e0', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('26e9de3d-6eb6-4b51-981c-1a0bdf879915', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('28f076cd-47e5-4d7a-b937-8a1f796b8642', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('369a6455-7a79-437d-9196-aaedc1e58702', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('37dc4d01-1265-41e3-b263-7e528d9eddaf', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('47cfb57a-4283-4c41-966b-877f9b81baaa', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('4ea45e18-ccde-4aab-8c47-0105c7640ff7', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('55d40509-bc05-4c32-b808-3418d7b76313', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('68d8c8b8-cf5b-423d-a931-41671357262d', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('6a04952a-594e-4473-aace-3479a475f49f', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('7953b5d8-125c-437f-94a4-c5f902e825e5', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('85f04430-5528-4404-8e1b-560ca85897c2', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('89d7e34a-7635-4d35-b174-472e9c688acb', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('8b7d45ed-fbf0-436b-98ba-d11b736ee50e', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('9151253e-4104-49c0-9a7c-e6ea60506a23', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('9c123e1a-2cc8-4839-ba66-fdccb199d990', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('ae5c9fdc-af4f-4594-bde4-7dc0f62d1d21', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('bd929916-2126-4188-985a-efafe42f35e2', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('bf1d7f9d-d2ca-4bbf-9003-319a1e60cdb3', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('ea03d9e3-f8e7-4970-86b9-2428d147a300', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('ec50bc46-6166-4dc2-906f-a252feb48e94', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
INSERT INTO `ml2_port_bindings` VALUES ('f043296c-88e0-419e-aad3-259a7377ecb0', 'h1', 'ovs', 'normal', '', '{\"connectivity\": \"l2\", \"port_filter\": true, \"ovs_hybrid_plug\": false, \"datapath_type\": \"netdev\", \"bridge_name\": \"br-int\"}', 'ACTIVE');
CREATE TABLE `ml2_vlan_allocations` (
  `physical_network` varchar(64) NOT NULL,
  `vlan_id` int(11) NOT NULL,
  `allocated` tinyint(1) NOT NULL,
  PRIMARY KEY (`physical_network`,`vlan_id`),
  KEY `ix_ml2_vlan_allocations_physical_network_allocated` (`physical_network`,`allocated`),
  CONSTRAINT `check_ml2_vlan_allocations0vlan_id` CHECK (`vlan_id` >= 1 and `vlan_id` <= 4094)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_vxlan_allocations` (
  `vxlan_vni` int(11) NOT NULL,
  `allocated` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`vxlan_vni`),
  KEY `ix_ml2_vxlan_allocations_allocated` (`allocated`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ml2_vxlan_endpoints` (
  `ip_address` varchar(64) NOT NULL,
  `udp_port` int(11) NOT NULL,
  `host` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`ip_address`),
  UNIQUE KEY `unique_ml2_vxlan_endpoints0host` (`host`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ml2_vxlan_endpoints` VALUES ('10.102.0.11', 4789, 'h1');
CREATE TABLE `ndp_proxies` (
  `project_id` varchar(255) DEFAULT NULL,
  `name` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `router_id` varchar(36) NOT NULL,
  `port_id` varchar(36) NOT NULL,
  `ip_address` varchar(64) NOT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `standard_attr_id` (`standard_attr_id`),
  UNIQUE KEY `uniq_ndp_proxy0router_id0ip_address` (`router_id`,`ip_address`),
  KEY `port_id` (`port_id`),
  KEY `ix_ndp_proxies_project_id` (`project_id`),
  CONSTRAINT `ndp_proxies_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ndp_proxies_ibfk_2` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ndp_proxies_ibfk_3` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `network_segment_ranges` (
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `default` tinyint(1) NOT NULL,
  `shared` tinyint(1) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `network_type` enum('vlan','vxlan','gre','geneve') NOT NULL,
  `physical_network` varchar(64) NOT NULL DEFAULT '',
  `minimum` int(11) DEFAULT NULL,
  `maximum` int(11) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `standard_attr_id` (`standard_attr_id`),
  UNIQUE KEY `uniq_network_segment_ranges` (`default`,`network_type`,`physical_network`,`minimum`,`maximum`),
  CONSTRAINT `network_segment_ranges_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `network_subnet_lock` (
  `network_id` varchar(36) NOT NULL,
  `subnet_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`network_id`),
  CONSTRAINT `network_subnet_lock_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `network_subnet_lock` VALUES ('499bb100-03a6-4893-8076-1db14e8d11cb', '779d5799-8f6d-4f8a-b5e2-5229391b6973');
INSERT INTO `network_subnet_lock` VALUES ('ebd33dcc-2403-4340-a470-15b9b920bae3', '35611da6-0183-466d-a233-f2cfff756754');
CREATE TABLE `networkdhcpagentbindings` (
  `network_id` varchar(36) NOT NULL,
  `dhcp_agent_id` varchar(36) NOT NULL,
  `binding_index` int(11) NOT NULL DEFAULT 1,
  PRIMARY KEY (`network_id`,`dhcp_agent_id`),
  UNIQUE KEY `uniq_network_dhcp_agent_binding0network_id0binding_index0` (`network_id`,`binding_index`),
  KEY `dhcp_agent_id` (`dhcp_agent_id`),
  CONSTRAINT `networkdhcpagentbindings_ibfk_1` FOREIGN KEY (`dhcp_agent_id`) REFERENCES `agents` (`id`) ON DELETE CASCADE,
  CONSTRAINT `networkdhcpagentbindings_ibfk_2` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `networkdnsdomains` (
  `network_id` varchar(36) NOT NULL,
  `dns_domain` varchar(255) NOT NULL,
  PRIMARY KEY (`network_id`),
  CONSTRAINT `networkdnsdomains_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `networkpvlan` (
  `network_id` varchar(36) NOT NULL,
  `pvlan` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`network_id`),
  CONSTRAINT `networkpvlan_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `networkrbacs` (
  `id` varchar(36) NOT NULL,
  `object_id` varchar(36) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `target_project` varchar(255) NOT NULL,
  `action` varchar(255) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_networkrbacs0target_project0object_id0action` (`target_project`,`object_id`,`action`),
  KEY `object_id` (`object_id`),
  KEY `ix_networkrbacs_project_id` (`project_id`),
  KEY `ix_networkrbacs_action` (`action`),
  KEY `ix_networkrbacs_target_project` (`target_project`),
  CONSTRAINT `networkrbacs_ibfk_1` FOREIGN KEY (`object_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `networks` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `status` varchar(16) DEFAULT NULL,
  `admin_state_up` tinyint(1) DEFAULT NULL,
  `mtu` int(11) NOT NULL DEFAULT 1500,
  `vlan_transparent` tinyint(1) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `availability_zone_hints` varchar(255) DEFAULT NULL,
  `qinq` tinyint(1) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_networks0standard_attr_id` (`standard_attr_id`),
  KEY `ix_networks_project_id` (`project_id`),
  CONSTRAINT `networks_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `networks` VALUES ('c97ce6e456784c5f921327d732fe631f', '499bb100-03a6-4893-8076-1db14e8d11cb', 'net1', 'ACTIVE', 1, 1500, NULL, 156, NULL, NULL);
INSERT INTO `networks` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'net1', 'ACTIVE', 1, 1500, NULL, 139, NULL, NULL);
CREATE TABLE `networksecuritybindings` (
  `network_id` varchar(36) NOT NULL,
  `port_security_enabled` tinyint(1) NOT NULL,
  PRIMARY KEY (`network_id`),
  CONSTRAINT `networksecuritybindings_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `networksecuritybindings` VALUES ('499bb100-03a6-4893-8076-1db14e8d11cb', 1);
INSERT INTO `networksecuritybindings` VALUES ('ebd33dcc-2403-4340-a470-15b9b920bae3', 1);
CREATE TABLE `networksegments` (
  `id` varchar(36) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  `network_type` varchar(32) NOT NULL,
  `physical_network` varchar(64) DEFAULT NULL,
  `segmentation_id` int(11) DEFAULT NULL,
  `is_dynamic` tinyint(1) NOT NULL DEFAULT 0,
  `segment_index` int(11) NOT NULL DEFAULT 0,
  `standard_attr_id` bigint(20) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_networksegments0standard_attr_id` (`standard_attr_id`),
  UNIQUE KEY `uniq_networksegment0network_id0network_type0physnet0sidx` (`network_id`,`network_type`,`physical_network`,`segment_index`),
  CONSTRAINT `networksegments_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE,
  CONSTRAINT `networksegments_ibfk_2` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `networksegments` VALUES ('5d802dfc-0d6b-48da-8cb0-81800070e33e', '499bb100-03a6-4893-8076-1db14e8d11cb', 'vxlan', NULL, 3949, 0, 0, 157, NULL);
INSERT INTO `networksegments` VALUES ('6e4c42f0-8dbe-4103-8c49-f1102e0c2a62', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'vxlan', NULL, 8733, 0, 0, 140, NULL);
CREATE TABLE `ovn_hash_ring` (
  `node_uuid` varchar(36) NOT NULL,
  `group_name` varchar(256) NOT NULL,
  `hostname` varchar(256) NOT NULL,
  `created_at` datetime NOT NULL,
  `updated_at` datetime NOT NULL,
  PRIMARY KEY (`node_uuid`,`group_name`),
  KEY `ix_ovn_hash_ring_node_uuid` (`node_uuid`),
  KEY `ix_ovn_hash_ring_group_name` (`group_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ovn_revision_numbers` (
  `standard_attr_id` bigint(20) DEFAULT NULL,
  `resource_uuid` varchar(36) NOT NULL,
  `resource_type` varchar(36) NOT NULL,
  `revision_number` bigint(20) NOT NULL DEFAULT 0,
  `created_at` datetime NOT NULL,
  `updated_at` timestamp NULL DEFAULT NULL,
  PRIMARY KEY (`resource_uuid`,`resource_type`),
  KEY `standard_attr_id` (`standard_attr_id`),
  KEY `ix_ovn_revision_numbers_resource_type` (`resource_type`),
  KEY `ix_ovn_revision_numbers_resource_uuid` (`resource_uuid`),
  CONSTRAINT `ovn_revision_numbers_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portdataplanestatuses` (
  `port_id` varchar(36) NOT NULL,
  `data_plane_status` varchar(16) DEFAULT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portdataplanestatuses_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portdeviceprofiles` (
  `port_id` varchar(36) NOT NULL,
  `device_profile` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portdeviceprofiles_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portdnses` (
  `port_id` varchar(36) NOT NULL,
  `current_dns_name` varchar(255) NOT NULL,
  `current_dns_domain` varchar(255) NOT NULL,
  `previous_dns_name` varchar(255) NOT NULL,
  `previous_dns_domain` varchar(255) NOT NULL,
  `dns_name` varchar(255) NOT NULL,
  `dns_domain` varchar(255) NOT NULL DEFAULT '',
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portdnses_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portforwardings` (
  `id` varchar(36) NOT NULL,
  `floatingip_id` varchar(36) NOT NULL,
  `internal_neutron_port_id` varchar(36) NOT NULL,
  `protocol` varchar(40) NOT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `internal_ip_address` varchar(64) NOT NULL,
  `internal_port_start` int(11) NOT NULL,
  `internal_port_end` int(11) NOT NULL,
  `external_port_start` int(11) NOT NULL,
  `external_port_end` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_portforwardings0standard_attr_id` (`standard_attr_id`),
  UNIQUE KEY `uniq_port_forwardings0floatingip_id0protocol0external_ports` (`floatingip_id`,`protocol`,`external_port_start`,`external_port_end`),
  UNIQUE KEY `uniq_port_forwardings0ptcl0in_prt_id0in_ip_addr0in_prts` (`protocol`,`internal_neutron_port_id`,`internal_ip_address`,`internal_port_start`,`internal_port_end`),
  KEY `portforwardings_ibfk_2` (`internal_neutron_port_id`),
  CONSTRAINT `portforwardings_ibfk_1` FOREIGN KEY (`floatingip_id`) REFERENCES `floatingips` (`id`) ON DELETE CASCADE,
  CONSTRAINT `portforwardings_ibfk_2` FOREIGN KEY (`internal_neutron_port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `portforwardings_ibfk_3` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `porthardwareoffloadtype` (
  `port_id` varchar(36) NOT NULL,
  `hardware_offload_type` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`port_id`),
  KEY `ix_porthardwareoffloadtype_port_id` (`port_id`),
  CONSTRAINT `porthardwareoffloadtype_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `porthints` (
  `port_id` varchar(36) NOT NULL,
  `hints` varchar(4095) NOT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `porthints_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portnumaaffinitypolicies` (
  `port_id` varchar(36) NOT NULL,
  `numa_affinity_policy` enum('required','preferred','legacy','socket') DEFAULT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portnumaaffinitypolicies_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portpvlan` (
  `port_id` varchar(36) NOT NULL,
  `pvlan_type` enum('isolated','promiscuous','community') NOT NULL,
  `pvlan_community` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portpvlan_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `ports` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `network_id` varchar(36) NOT NULL,
  `mac_address` varchar(32) NOT NULL,
  `admin_state_up` tinyint(1) NOT NULL,
  `status` varchar(16) NOT NULL,
  `device_id` varchar(255) NOT NULL,
  `device_owner` varchar(255) NOT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `ip_allocation` varchar(16) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_ports0network_id0mac_address` (`network_id`,`mac_address`),
  UNIQUE KEY `uniq_ports0standard_attr_id` (`standard_attr_id`),
  UNIQUE KEY `uniq_ports0id0network_id` (`id`,`network_id`),
  KEY `ix_ports_network_id_device_owner` (`network_id`,`device_owner`),
  KEY `ix_ports_device_id` (`device_id`),
  KEY `ix_ports_project_id` (`project_id`),
  KEY `ix_ports_network_id` (`network_id`),
  CONSTRAINT `ports_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`),
  CONSTRAINT `ports_ibfk_2` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '0ebbf220-0c37-421a-9e6a-3a58e946961c', 'admin-f2-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:cf:a8:79', 1, 'ACTIVE', 'cf0a3345-cebb-4a82-9495-e73daa6db796', 'compute:nova', 165, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '162988a6-e8f8-4e80-99ff-08db19b64e7b', 'admin-f3-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:71:e7:e0', 1, 'ACTIVE', 'ad5ba570-4f40-4daa-b26a-41ea56c8effc', 'compute:nova', 167, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '1f6098ce-31fa-42b2-9ef0-3deddd8d335b', 'admin-f2-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:5e:e7:ed', 1, 'ACTIVE', 'cf0a3345-cebb-4a82-9495-e73daa6db796', 'compute:nova', 166, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '25964cfe-5c93-4e19-bd02-a88a4a4fe6e0', 'admin-f1-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:6f:62:60', 1, 'ACTIVE', '4b2c83c1-4631-4464-a108-2f918197170b', 'compute:nova', 163, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '26e9de3d-6eb6-4b51-981c-1a0bdf879915', 'demo-f0-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:38:16:5c', 1, 'ACTIVE', '34bf58ca-009b-429d-b942-98d0599c6e0d', 'compute:nova', 144, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '28f076cd-47e5-4d7a-b937-8a1f796b8642', 'admin-f1-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:1d:ff:a2', 1, 'ACTIVE', '4b2c83c1-4631-4464-a108-2f918197170b', 'compute:nova', 164, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '369a6455-7a79-437d-9196-aaedc1e58702', 'demo-f0-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:fa:55:78', 1, 'ACTIVE', '34bf58ca-009b-429d-b942-98d0599c6e0d', 'compute:nova', 145, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '37dc4d01-1265-41e3-b263-7e528d9eddaf', 'admin-f5-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:db:9e:71', 1, 'ACTIVE', '753ffcbe-397b-4fee-baf0-ac3fdc748a78', 'compute:nova', 172, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', 'demo-f4-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:eb:37:ae', 1, 'ACTIVE', 'f9604837-b40b-40c0-a40f-3da18053a628', 'compute:nova', 152, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '47cfb57a-4283-4c41-966b-877f9b81baaa', 'demo-f1-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:b2:79:29', 1, 'ACTIVE', '8114171c-7853-4a71-8379-80d5fa33f730', 'compute:nova', 146, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '4ea45e18-ccde-4aab-8c47-0105c7640ff7', 'demo-src-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:9a:ba:35', 1, 'ACTIVE', '482a732b-452f-4934-8514-ae600e68596d', 'compute:nova', 143, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '55d40509-bc05-4c32-b808-3418d7b76313', 'admin-f4-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:89:10:3f', 1, 'ACTIVE', '2182b135-2e73-4c19-9069-6fdb4c2b62ba', 'compute:nova', 169, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '68d8c8b8-cf5b-423d-a931-41671357262d', 'demo-f2-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:15:12:bd', 1, 'ACTIVE', 'c63b0b88-fb41-4db1-b694-c172ffda4185', 'compute:nova', 148, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '6a04952a-594e-4473-aace-3479a475f49f', 'admin-f3-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:56:df:13', 1, 'ACTIVE', 'ad5ba570-4f40-4daa-b26a-41ea56c8effc', 'compute:nova', 168, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '7953b5d8-125c-437f-94a4-c5f902e825e5', 'demo-src-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:b4:78:eb', 1, 'ACTIVE', '482a732b-452f-4934-8514-ae600e68596d', 'compute:nova', 142, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', 'demo-f1-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:8c:05:28', 1, 'ACTIVE', '8114171c-7853-4a71-8379-80d5fa33f730', 'compute:nova', 147, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '85f04430-5528-4404-8e1b-560ca85897c2', 'demo-f3-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:97:31:68', 1, 'ACTIVE', 'b2897cf7-4969-4640-bf19-15653abe5b8c', 'compute:nova', 150, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '89d7e34a-7635-4d35-b174-472e9c688acb', 'admin-src-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:32:1c:8e', 1, 'ACTIVE', '24089d67-4311-4da2-ad92-b61f5d3daaf5', 'compute:nova', 159, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '8b7d45ed-fbf0-436b-98ba-d11b736ee50e', 'demo-f3-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:73:58:5c', 1, 'ACTIVE', 'b2897cf7-4969-4640-bf19-15653abe5b8c', 'compute:nova', 151, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '9151253e-4104-49c0-9a7c-e6ea60506a23', 'demo-f5-0', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:4c:a7:c5', 1, 'ACTIVE', 'e5a18d38-0f25-4318-b28d-eeae33c13890', 'compute:nova', 154, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', '9c123e1a-2cc8-4839-ba66-fdccb199d990', 'admin-f0-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:72:0f:77', 1, 'ACTIVE', '8359e1e3-3ef1-4dcd-b4a9-9508aadc31ca', 'compute:nova', 161, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', 'ae5c9fdc-af4f-4594-bde4-7dc0f62d1d21', 'admin-f5-0', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:a1:98:5e', 1, 'ACTIVE', '753ffcbe-397b-4fee-baf0-ac3fdc748a78', 'compute:nova', 171, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', 'demo-f5-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:46:bb:ee', 1, 'ACTIVE', 'e5a18d38-0f25-4318-b28d-eeae33c13890', 'compute:nova', 155, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'bd929916-2126-4188-985a-efafe42f35e2', 'demo-f4-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:06:ef:f1', 1, 'ACTIVE', 'f9604837-b40b-40c0-a40f-3da18053a628', 'compute:nova', 153, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', 'bf1d7f9d-d2ca-4bbf-9003-319a1e60cdb3', 'admin-src-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:a3:b1:d7', 1, 'ACTIVE', '24089d67-4311-4da2-ad92-b61f5d3daaf5', 'compute:nova', 160, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', 'ea03d9e3-f8e7-4970-86b9-2428d147a300', 'admin-f4-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:3c:6c:76', 1, 'ACTIVE', '2182b135-2e73-4c19-9069-6fdb4c2b62ba', 'compute:nova', 170, 'immediate');
INSERT INTO `ports` VALUES ('c97ce6e456784c5f921327d732fe631f', 'ec50bc46-6166-4dc2-906f-a252feb48e94', 'admin-f0-1', '499bb100-03a6-4893-8076-1db14e8d11cb', 'fa:16:3e:4a:dc:bd', 1, 'ACTIVE', '8359e1e3-3ef1-4dcd-b4a9-9508aadc31ca', 'compute:nova', 162, 'immediate');
INSERT INTO `ports` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'f043296c-88e0-419e-aad3-259a7377ecb0', 'demo-f2-1', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 'fa:16:3e:8f:b7:e2', 1, 'ACTIVE', 'c63b0b88-fb41-4db1-b694-c172ffda4185', 'compute:nova', 149, 'immediate');
CREATE TABLE `portsecuritybindings` (
  `port_id` varchar(36) NOT NULL,
  `port_security_enabled` tinyint(1) NOT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portsecuritybindings_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `portsecuritybindings` VALUES ('0ebbf220-0c37-421a-9e6a-3a58e946961c', 1);
INSERT INTO `portsecuritybindings` VALUES ('162988a6-e8f8-4e80-99ff-08db19b64e7b', 1);
INSERT INTO `portsecuritybindings` VALUES ('1f6098ce-31fa-42b2-9ef0-3deddd8d335b', 1);
INSERT INTO `portsecuritybindings` VALUES ('25964cfe-5c93-4e19-bd02-a88a4a4fe6e0', 1);
INSERT INTO `portsecuritybindings` VALUES ('26e9de3d-6eb6-4b51-981c-1a0bdf879915', 1);
INSERT INTO `portsecuritybindings` VALUES ('28f076cd-47e5-4d7a-b937-8a1f796b8642', 1);
INSERT INTO `portsecuritybindings` VALUES ('369a6455-7a79-437d-9196-aaedc1e58702', 1);
INSERT INTO `portsecuritybindings` VALUES ('37dc4d01-1265-41e3-b263-7e528d9eddaf', 1);
INSERT INTO `portsecuritybindings` VALUES ('41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', 1);
INSERT INTO `portsecuritybindings` VALUES ('47cfb57a-4283-4c41-966b-877f9b81baaa', 1);
INSERT INTO `portsecuritybindings` VALUES ('4ea45e18-ccde-4aab-8c47-0105c7640ff7', 1);
INSERT INTO `portsecuritybindings` VALUES ('55d40509-bc05-4c32-b808-3418d7b76313', 1);
INSERT INTO `portsecuritybindings` VALUES ('68d8c8b8-cf5b-423d-a931-41671357262d', 1);
INSERT INTO `portsecuritybindings` VALUES ('6a04952a-594e-4473-aace-3479a475f49f', 1);
INSERT INTO `portsecuritybindings` VALUES ('7953b5d8-125c-437f-94a4-c5f902e825e5', 1);
INSERT INTO `portsecuritybindings` VALUES ('7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', 1);
INSERT INTO `portsecuritybindings` VALUES ('85f04430-5528-4404-8e1b-560ca85897c2', 1);
INSERT INTO `portsecuritybindings` VALUES ('89d7e34a-7635-4d35-b174-472e9c688acb', 1);
INSERT INTO `portsecuritybindings` VALUES ('8b7d45ed-fbf0-436b-98ba-d11b736ee50e', 1);
INSERT INTO `portsecuritybindings` VALUES ('9151253e-4104-49c0-9a7c-e6ea60506a23', 1);
INSERT INTO `portsecuritybindings` VALUES ('9c123e1a-2cc8-4839-ba66-fdccb199d990', 1);
INSERT INTO `portsecuritybindings` VALUES ('ae5c9fdc-af4f-4594-bde4-7dc0f62d1d21', 1);
INSERT INTO `portsecuritybindings` VALUES ('bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', 1);
INSERT INTO `portsecuritybindings` VALUES ('bd929916-2126-4188-985a-efafe42f35e2', 1);
INSERT INTO `portsecuritybindings` VALUES ('bf1d7f9d-d2ca-4bbf-9003-319a1e60cdb3', 1);
INSERT INTO `portsecuritybindings` VALUES ('ea03d9e3-f8e7-4970-86b9-2428d147a300', 1);
INSERT INTO `portsecuritybindings` VALUES ('ec50bc46-6166-4dc2-906f-a252feb48e94', 1);
INSERT INTO `portsecuritybindings` VALUES ('f043296c-88e0-419e-aad3-259a7377ecb0', 1);
CREATE TABLE `porttrusted` (
  `port_id` varchar(36) NOT NULL,
  `trusted` tinyint(1) DEFAULT NULL,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `porttrusted_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `portuplinkstatuspropagation` (
  `port_id` varchar(36) NOT NULL,
  `propagate_uplink_status` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`port_id`),
  CONSTRAINT `portuplinkstatuspropagation_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `providerresourceassociations` (
  `provider_name` varchar(255) NOT NULL,
  `resource_id` varchar(36) NOT NULL,
  PRIMARY KEY (`provider_name`,`resource_id`),
  UNIQUE KEY `resource_id` (`resource_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `provisioningblocks` (
  `standard_attr_id` bigint(20) NOT NULL,
  `entity` varchar(255) NOT NULL,
  PRIMARY KEY (`standard_attr_id`,`entity`),
  CONSTRAINT `provisioningblocks_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_bandwidth_limit_rules` (
  `id` varchar(36) NOT NULL,
  `qos_policy_id` varchar(36) NOT NULL,
  `max_kbps` int(11) DEFAULT NULL,
  `max_burst_kbps` int(11) DEFAULT NULL,
  `direction` enum('egress','ingress') NOT NULL DEFAULT 'egress',
  PRIMARY KEY (`id`),
  UNIQUE KEY `qos_bandwidth_rules0qos_policy_id0direction` (`qos_policy_id`,`direction`),
  CONSTRAINT `qos_bandwidth_limit_rules_ibfk_1` FOREIGN KEY (`qos_policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_dscp_marking_rules` (
  `id` varchar(36) NOT NULL,
  `qos_policy_id` varchar(36) NOT NULL,
  `dscp_mark` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `qos_policy_id` (`qos_policy_id`),
  CONSTRAINT `qos_dscp_marking_rules_ibfk_1` FOREIGN KEY (`qos_policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_fip_policy_bindings` (
  `policy_id` varchar(36) NOT NULL,
  `fip_id` varchar(36) NOT NULL,
  UNIQUE KEY `fip_id` (`fip_id`),
  KEY `policy_id` (`policy_id`),
  CONSTRAINT `qos_fip_policy_bindings_ibfk_1` FOREIGN KEY (`policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE,
  CONSTRAINT `qos_fip_policy_bindings_ibfk_2` FOREIGN KEY (`fip_id`) REFERENCES `floatingips` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_minimum_bandwidth_rules` (
  `id` varchar(36) NOT NULL,
  `qos_policy_id` varchar(36) NOT NULL,
  `min_kbps` int(11) DEFAULT NULL,
  `direction` enum('egress','ingress') NOT NULL DEFAULT 'egress',
  PRIMARY KEY (`id`),
  UNIQUE KEY `qos_minimum_bandwidth_rules0qos_policy_id0direction` (`qos_policy_id`,`direction`),
  KEY `ix_qos_minimum_bandwidth_rules_qos_policy_id` (`qos_policy_id`),
  CONSTRAINT `qos_minimum_bandwidth_rules_ibfk_1` FOREIGN KEY (`qos_policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_minimum_packet_rate_rules` (
  `id` varchar(36) NOT NULL,
  `qos_policy_id` varchar(36) DEFAULT NULL,
  `min_kpps` int(11) NOT NULL,
  `direction` enum('any','ingress','egress') NOT NULL DEFAULT 'egress',
  PRIMARY KEY (`id`),
  UNIQUE KEY `qos_minimum_packet_rate_rules0qos_policy_id0direction` (`qos_policy_id`,`direction`),
  KEY `ix_qos_minimum_packet_rate_rules_qos_policy_id` (`qos_policy_id`),
  CONSTRAINT `qos_minimum_packet_rate_rules_ibfk_1` FOREIGN KEY (`qos_policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_network_policy_bindings` (
  `policy_id` varchar(36) NOT NULL,
  `network_id` varchar(36) NOT NULL,
  UNIQUE KEY `network_id` (`network_id`),
  KEY `policy_id` (`policy_id`),
  CONSTRAINT `qos_network_policy_bindings_ibfk_1` FOREIGN KEY (`policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE,
  CONSTRAINT `qos_network_policy_bindings_ibfk_2` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_packet_rate_limit_rules` (
  `id` varchar(36) NOT NULL,
  `qos_policy_id` varchar(36) NOT NULL,
  `max_kpps` int(11) DEFAULT NULL,
  `max_burst_kpps` int(11) DEFAULT NULL,
  `direction` enum('egress','ingress') NOT NULL DEFAULT 'egress',
  PRIMARY KEY (`id`),
  UNIQUE KEY `qos_packet_rate_limit_rules0qos_policy_id0direction` (`qos_policy_id`,`direction`),
  KEY `ix_qos_packet_rate_limit_rules_qos_policy_id` (`qos_policy_id`),
  CONSTRAINT `qos_packet_rate_limit_rules_ibfk_1` FOREIGN KEY (`qos_policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_policies` (
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_qos_policies0standard_attr_id` (`standard_attr_id`),
  KEY `ix_qos_policies_project_id` (`project_id`),
  CONSTRAINT `qos_policies_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_policies_default` (
  `qos_policy_id` varchar(36) NOT NULL,
  `project_id` varchar(255) NOT NULL,
  PRIMARY KEY (`project_id`),
  KEY `qos_policy_id` (`qos_policy_id`),
  CONSTRAINT `qos_policies_default_ibfk_1` FOREIGN KEY (`qos_policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_port_policy_bindings` (
  `policy_id` varchar(36) NOT NULL,
  `port_id` varchar(36) NOT NULL,
  UNIQUE KEY `port_id` (`port_id`),
  KEY `policy_id` (`policy_id`),
  CONSTRAINT `qos_port_policy_bindings_ibfk_1` FOREIGN KEY (`policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE,
  CONSTRAINT `qos_port_policy_bindings_ibfk_2` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qos_router_gw_policy_bindings` (
  `policy_id` varchar(36) NOT NULL,
  `router_id` varchar(36) NOT NULL,
  PRIMARY KEY (`policy_id`,`router_id`),
  UNIQUE KEY `router_id` (`router_id`),
  CONSTRAINT `qos_router_gw_policy_bindings_ibfk_1` FOREIGN KEY (`policy_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE,
  CONSTRAINT `qos_router_gw_policy_bindings_ibfk_2` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `qospolicyrbacs` (
  `id` varchar(36) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `target_project` varchar(255) NOT NULL,
  `action` varchar(255) NOT NULL,
  `object_id` varchar(36) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_qospolicyrbacs0target_project0object_id0action` (`target_project`,`object_id`,`action`),
  KEY `object_id` (`object_id`),
  KEY `ix_qospolicyrbacs_project_id` (`project_id`),
  KEY `ix_qospolicyrbacs_action` (`action`),
  KEY `ix_qospolicyrbacs_target_project` (`target_project`),
  CONSTRAINT `qospolicyrbacs_ibfk_1` FOREIGN KEY (`object_id`) REFERENCES `qos_policies` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `quotas` (
  `id` varchar(36) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `resource` varchar(255) DEFAULT NULL,
  `limit` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_quotas0project_id0resource` (`project_id`,`resource`),
  KEY `ix_quotas_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `quotausages` (
  `project_id` varchar(255) NOT NULL,
  `resource` varchar(255) NOT NULL,
  `dirty` tinyint(1) NOT NULL DEFAULT 0,
  `in_use` int(11) NOT NULL DEFAULT 0,
  `reserved` int(11) NOT NULL DEFAULT 0,
  PRIMARY KEY (`project_id`,`resource`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `reservations` (
  `id` varchar(36) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `expiration` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `resourcedeltas` (
  `resource` varchar(255) NOT NULL,
  `reservation_id` varchar(36) NOT NULL,
  `amount` int(11) DEFAULT NULL,
  PRIMARY KEY (`resource`,`reservation_id`),
  KEY `reservation_id` (`reservation_id`),
  CONSTRAINT `resourcedeltas_ibfk_1` FOREIGN KEY (`reservation_id`) REFERENCES `reservations` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `router_extra_attributes` (
  `router_id` varchar(36) NOT NULL,
  `distributed` tinyint(1) NOT NULL DEFAULT 0,
  `service_router` tinyint(1) NOT NULL DEFAULT 0,
  `ha` tinyint(1) NOT NULL DEFAULT 0,
  `ha_vr_id` int(11) DEFAULT NULL,
  `availability_zone_hints` varchar(255) DEFAULT NULL,
  `enable_default_route_ecmp` tinyint(1) NOT NULL DEFAULT 0,
  `enable_default_route_bfd` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`router_id`),
  CONSTRAINT `router_extra_attributes_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `router_ndp_proxy_state` (
  `router_id` varchar(36) NOT NULL,
  `enable_ndp_proxy` tinyint(1) NOT NULL,
  PRIMARY KEY (`router_id`),
  CONSTRAINT `router_ndp_proxy_state_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `routerl3agentbindings` (
  `router_id` varchar(36) NOT NULL,
  `l3_agent_id` varchar(36) NOT NULL,
  `binding_index` int(11) NOT NULL DEFAULT 1,
  PRIMARY KEY (`router_id`,`l3_agent_id`),
  UNIQUE KEY `uniq_router_l3_agent_binding0router_id0binding_index0` (`router_id`,`binding_index`),
  KEY `l3_agent_id` (`l3_agent_id`),
  CONSTRAINT `routerl3agentbindings_ibfk_1` FOREIGN KEY (`l3_agent_id`) REFERENCES `agents` (`id`) ON DELETE CASCADE,
  CONSTRAINT `routerl3agentbindings_ibfk_2` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `routerports` (
  `router_id` varchar(36) NOT NULL,
  `port_id` varchar(36) NOT NULL,
  `port_type` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`router_id`,`port_id`),
  UNIQUE KEY `uniq_routerports0port_id` (`port_id`),
  CONSTRAINT `routerports_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `routerports_ibfk_2` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `routerroutes` (
  `destination` varchar(64) NOT NULL,
  `nexthop` varchar(64) NOT NULL,
  `router_id` varchar(36) NOT NULL,
  PRIMARY KEY (`destination`,`nexthop`,`router_id`),
  KEY `router_id` (`router_id`),
  CONSTRAINT `routerroutes_ibfk_1` FOREIGN KEY (`router_id`) REFERENCES `routers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `routers` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `status` varchar(16) DEFAULT NULL,
  `admin_state_up` tinyint(1) DEFAULT NULL,
  `gw_port_id` varchar(36) DEFAULT NULL,
  `enable_snat` tinyint(1) NOT NULL DEFAULT 1,
  `standard_attr_id` bigint(20) NOT NULL,
  `flavor_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_routers0standard_attr_id` (`standard_attr_id`),
  KEY `gw_port_id` (`gw_port_id`),
  KEY `flavor_id` (`flavor_id`),
  KEY `ix_routers_project_id` (`project_id`),
  CONSTRAINT `routers_ibfk_1` FOREIGN KEY (`gw_port_id`) REFERENCES `ports` (`id`),
  CONSTRAINT `routers_ibfk_2` FOREIGN KEY (`flavor_id`) REFERENCES `flavors` (`id`),
  CONSTRAINT `routers_ibfk_3` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `security_groups_default_statefulness` (
  `id` varchar(36) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `stateful` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`id`),
  UNIQUE KEY `project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `securitygroupdefaultrules` (
  `id` varchar(36) NOT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `remote_group_id` varchar(36) DEFAULT NULL,
  `remote_address_group_id` varchar(36) DEFAULT NULL,
  `direction` enum('ingress','egress') NOT NULL,
  `ethertype` varchar(40) DEFAULT NULL,
  `protocol` varchar(40) DEFAULT NULL,
  `port_range_min` int(11) DEFAULT NULL,
  `port_range_max` int(11) DEFAULT NULL,
  `remote_ip_prefix` varchar(255) DEFAULT NULL,
  `used_in_default_sg` tinyint(1) NOT NULL DEFAULT 0,
  `used_in_non_default_sg` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`id`),
  UNIQUE KEY `standard_attr_id` (`standard_attr_id`),
  CONSTRAINT `securitygroupdefaultrules_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `securitygroupdefaultrules` VALUES ('22867bee-14f7-4380-acbf-e4c922479c2f', 4, 'PARENT', NULL, 'ingress', 'IPv6', NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO `securitygroupdefaultrules` VALUES ('3f6ed837-972a-414b-82e1-23dcc4fda902', 1, NULL, NULL, 'egress', 'IPv4', NULL, NULL, NULL, NULL, 1, 1);
INSERT INTO `securitygroupdefaultrules` VALUES ('42c2b84c-1249-4839-b1ee-1c4c92f0bb7f', 2, NULL, NULL, 'egress', 'IPv6', NULL, NULL, NULL, NULL, 1, 1);
INSERT INTO `securitygroupdefaultrules` VALUES ('7649b89f-d7b7-4ccd-9b2e-2b8b5ce5f5dc', 3, 'PARENT', NULL, 'ingress', 'IPv4', NULL, NULL, NULL, NULL, 1, 0);
CREATE TABLE `securitygroupportbindings` (
  `port_id` varchar(36) NOT NULL,
  `security_group_id` varchar(36) NOT NULL,
  PRIMARY KEY (`port_id`,`security_group_id`),
  KEY `securitygroupportbindings_ibfk_2` (`security_group_id`),
  CONSTRAINT `securitygroupportbindings_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `securitygroupportbindings_ibfk_2` FOREIGN KEY (`security_group_id`) REFERENCES `securitygroups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `securitygroupportbindings` VALUES ('0ebbf220-0c37-421a-9e6a-3a58e946961c', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('162988a6-e8f8-4e80-99ff-08db19b64e7b', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('1f6098ce-31fa-42b2-9ef0-3deddd8d335b', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('25964cfe-5c93-4e19-bd02-a88a4a4fe6e0', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('26e9de3d-6eb6-4b51-981c-1a0bdf879915', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('28f076cd-47e5-4d7a-b937-8a1f796b8642', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('369a6455-7a79-437d-9196-aaedc1e58702', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('37dc4d01-1265-41e3-b263-7e528d9eddaf', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('47cfb57a-4283-4c41-966b-877f9b81baaa', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('4ea45e18-ccde-4aab-8c47-0105c7640ff7', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('55d40509-bc05-4c32-b808-3418d7b76313', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('68d8c8b8-cf5b-423d-a931-41671357262d', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('6a04952a-594e-4473-aace-3479a475f49f', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('7953b5d8-125c-437f-94a4-c5f902e825e5', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('85f04430-5528-4404-8e1b-560ca85897c2', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('89d7e34a-7635-4d35-b174-472e9c688acb', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('8b7d45ed-fbf0-436b-98ba-d11b736ee50e', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('9151253e-4104-49c0-9a7c-e6ea60506a23', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('9c123e1a-2cc8-4839-ba66-fdccb199d990', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('ae5c9fdc-af4f-4594-bde4-7dc0f62d1d21', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('bd929916-2126-4188-985a-efafe42f35e2', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
INSERT INTO `securitygroupportbindings` VALUES ('bf1d7f9d-d2ca-4bbf-9003-319a1e60cdb3', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('ea03d9e3-f8e7-4970-86b9-2428d147a300', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('ec50bc46-6166-4dc2-906f-a252feb48e94', 'f57e0616-be83-49b5-89af-9a07af454c8a');
INSERT INTO `securitygroupportbindings` VALUES ('f043296c-88e0-419e-aad3-259a7377ecb0', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4');
CREATE TABLE `securitygrouprbacs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `target_project` varchar(255) NOT NULL,
  `action` varchar(255) NOT NULL,
  `object_id` varchar(36) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_securitygrouprbacs0target_project0object_id0action` (`target_project`,`object_id`,`action`),
  KEY `object_id` (`object_id`),
  KEY `ix_securitygrouprbacs_project_id` (`project_id`),
  KEY `ix_securitygrouprbacs_action` (`action`),
  KEY `ix_securitygrouprbacs_target_project` (`target_project`),
  CONSTRAINT `securitygrouprbacs_ibfk_1` FOREIGN KEY (`object_id`) REFERENCES `securitygroups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `securitygrouprules` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `security_group_id` varchar(36) NOT NULL,
  `remote_group_id` varchar(36) DEFAULT NULL,
  `direction` enum('ingress','egress') DEFAULT NULL,
  `ethertype` varchar(40) DEFAULT NULL,
  `protocol` varchar(40) DEFAULT NULL,
  `port_range_min` int(11) DEFAULT NULL,
  `port_range_max` int(11) DEFAULT NULL,
  `remote_ip_prefix` varchar(255) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `remote_address_group_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_securitygrouprules0standard_attr_id` (`standard_attr_id`),
  KEY `security_group_id` (`security_group_id`),
  KEY `remote_group_id` (`remote_group_id`),
  KEY `ix_securitygrouprules_project_id` (`project_id`),
  KEY `remote_address_group_id` (`remote_address_group_id`),
  CONSTRAINT `securitygrouprules_ibfk_1` FOREIGN KEY (`security_group_id`) REFERENCES `securitygroups` (`id`) ON DELETE CASCADE,
  CONSTRAINT `securitygrouprules_ibfk_2` FOREIGN KEY (`remote_group_id`) REFERENCES `securitygroups` (`id`) ON DELETE CASCADE,
  CONSTRAINT `securitygrouprules_ibfk_3` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE,
  CONSTRAINT `securitygrouprules_ibfk_4` FOREIGN KEY (`remote_address_group_id`) REFERENCES `address_groups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `securitygrouprules` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '0671f40c-ec4c-4457-b7cc-ddaa0b7f5958', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', 'ingress', 'IPv4', NULL, NULL, NULL, NULL, 9, NULL);
INSERT INTO `securitygrouprules` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '18a315db-4cac-4999-b194-bd91ce6c7551', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', NULL, 'egress', 'IPv4', NULL, NULL, NULL, NULL, 7, NULL);
INSERT INTO `securitygrouprules` VALUES ('c97ce6e456784c5f921327d732fe631f', '232a2d15-1569-4f6a-b0f0-3f57318c7d02', 'f57e0616-be83-49b5-89af-9a07af454c8a', 'f57e0616-be83-49b5-89af-9a07af454c8a', 'ingress', 'IPv6', NULL, NULL, NULL, NULL, 96, NULL);
INSERT INTO `securitygrouprules` VALUES ('c97ce6e456784c5f921327d732fe631f', '316dbb3f-f75b-4d8f-9ffb-c0d96ea50dfa', 'f57e0616-be83-49b5-89af-9a07af454c8a', 'f57e0616-be83-49b5-89af-9a07af454c8a', 'ingress', 'IPv4', NULL, NULL, NULL, NULL, 99, NULL);
INSERT INTO `securitygrouprules` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '46a732ca-4b50-4a1d-b3f3-477a832d963a', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', 'ingress', 'IPv6', NULL, NULL, NULL, NULL, 6, NULL);
INSERT INTO `securitygrouprules` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '52f01d07-b498-4770-aa46-c01210a1b987', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', NULL, 'egress', 'IPv6', NULL, NULL, NULL, NULL, 8, NULL);
INSERT INTO `securitygrouprules` VALUES ('c97ce6e456784c5f921327d732fe631f', 'c8e9fca4-a112-4788-8931-05071cff5c85', 'f57e0616-be83-49b5-89af-9a07af454c8a', NULL, 'egress', 'IPv6', NULL, NULL, NULL, NULL, 98, NULL);
INSERT INTO `securitygrouprules` VALUES ('c97ce6e456784c5f921327d732fe631f', 'f5ca5910-3d8c-4d4f-92c4-268fc21c5557', 'f57e0616-be83-49b5-89af-9a07af454c8a', NULL, 'egress', 'IPv4', NULL, NULL, NULL, NULL, 97, NULL);
CREATE TABLE `securitygroups` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `stateful` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_securitygroups0standard_attr_id` (`standard_attr_id`),
  KEY `ix_securitygroups_project_id` (`project_id`),
  CONSTRAINT `securitygroups_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `securitygroups` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '8af1c6ab-8c89-415d-b027-6d3c94b5d0a4', 'default', 5, 1);
INSERT INTO `securitygroups` VALUES ('c97ce6e456784c5f921327d732fe631f', 'f57e0616-be83-49b5-89af-9a07af454c8a', 'default', 95, 1);
CREATE TABLE `segmenthostmappings` (
  `segment_id` varchar(36) NOT NULL,
  `host` varchar(255) NOT NULL,
  PRIMARY KEY (`segment_id`,`host`),
  CONSTRAINT `segmenthostmappings_ibfk_1` FOREIGN KEY (`segment_id`) REFERENCES `networksegments` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `serviceprofiles` (
  `id` varchar(36) NOT NULL,
  `description` varchar(1024) DEFAULT NULL,
  `driver` varchar(1024) NOT NULL,
  `enabled` tinyint(1) NOT NULL DEFAULT 1,
  `metainfo` varchar(4096) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `sfc_chain_classifier_associations` (
  `flowclassifier_id` varchar(36) NOT NULL,
  `portchain_id` varchar(36) NOT NULL,
  PRIMARY KEY (`flowclassifier_id`,`portchain_id`),
  UNIQUE KEY `flowclassifier_id` (`flowclassifier_id`),
  KEY `sfc_chain_classifier_associations_ibfk_2` (`portchain_id`),
  CONSTRAINT `sfc_chain_classifier_associations_ibfk_1` FOREIGN KEY (`flowclassifier_id`) REFERENCES `sfc_flow_classifiers` (`id`),
  CONSTRAINT `sfc_chain_classifier_associations_ibfk_2` FOREIGN KEY (`portchain_id`) REFERENCES `sfc_port_chains` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_chain_classifier_associations` VALUES ('2369f6a2-5947-4e73-8a83-d8832fcd6499', '9c7eddfe-9a37-4f94-b5e9-496f0395109f');
INSERT INTO `sfc_chain_classifier_associations` VALUES ('38512f24-93de-48af-bd9e-c14a5d500d45', 'e4b0c227-6887-430e-aee7-769a8cd51377');
INSERT INTO `sfc_chain_classifier_associations` VALUES ('4b17140c-d7f5-41d8-8da0-b45514edba81', '060c6560-8a81-43d2-a127-0ea0ab912f0d');
INSERT INTO `sfc_chain_classifier_associations` VALUES ('809aa125-5352-42d1-a7ff-1323cb98a8f9', '9c7eddfe-9a37-4f94-b5e9-496f0395109f');
INSERT INTO `sfc_chain_classifier_associations` VALUES ('ad71713a-b188-4603-a883-05d50dfa99ee', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae');
INSERT INTO `sfc_chain_classifier_associations` VALUES ('d0fc642c-15f5-4504-ad7a-c92538c797ee', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57');
INSERT INTO `sfc_chain_classifier_associations` VALUES ('ef500d47-bbca-4ed6-bb3a-0f40cd10ac93', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c');
CREATE TABLE `sfc_chain_group_associations` (
  `portpairgroup_id` varchar(36) NOT NULL,
  `portchain_id` varchar(36) NOT NULL,
  `position` int(11) DEFAULT NULL,
  PRIMARY KEY (`portpairgroup_id`,`portchain_id`),
  KEY `sfc_chain_group_associations_ibfk_1` (`portchain_id`),
  CONSTRAINT `sfc_chain_group_associations_ibfk_1` FOREIGN KEY (`portchain_id`) REFERENCES `sfc_port_chains` (`id`) ON DELETE CASCADE,
  CONSTRAINT `sfc_chain_group_associations_ibfk_2` FOREIGN KEY (`portpairgroup_id`) REFERENCES `sfc_port_pair_groups` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_chain_group_associations` VALUES ('0c742305-9981-49ad-ac0a-e6beddff86a9', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 1);
INSERT INTO `sfc_chain_group_associations` VALUES ('0c742305-9981-49ad-ac0a-e6beddff86a9', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('0c742305-9981-49ad-ac0a-e6beddff86a9', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('0c742305-9981-49ad-ac0a-e6beddff86a9', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('17bf6d4b-1068-4855-a207-fc385418c7c9', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('5f5cec28-50dc-4ecc-af11-89d09dbaa36f', 'e4b0c227-6887-430e-aee7-769a8cd51377', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('63e2c30c-2135-4bf0-9eb5-bc9436672238', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('b22f81e8-00fd-4519-9c8a-90ddc4b3ac79', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('b22f81e8-00fd-4519-9c8a-90ddc4b3ac79', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 1);
INSERT INTO `sfc_chain_group_associations` VALUES ('c31d7b87-42d6-4500-9c02-73dcbcd862c7', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 0);
INSERT INTO `sfc_chain_group_associations` VALUES ('c31d7b87-42d6-4500-9c02-73dcbcd862c7', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 1);
CREATE TABLE `sfc_flow_classifier_l7_parameters` (
  `keyword` varchar(255) NOT NULL,
  `value` varchar(255) DEFAULT NULL,
  `classifier_id` varchar(36) NOT NULL,
  PRIMARY KEY (`keyword`,`classifier_id`),
  KEY `sfc_flow_classifier_l7_parameters_ibfk_1` (`classifier_id`),
  CONSTRAINT `sfc_flow_classifier_l7_parameters_ibfk_1` FOREIGN KEY (`classifier_id`) REFERENCES `sfc_flow_classifiers` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `sfc_flow_classifiers` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `ethertype` varchar(40) DEFAULT NULL,
  `protocol` varchar(40) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `source_port_range_min` int(11) DEFAULT NULL,
  `source_port_range_max` int(11) DEFAULT NULL,
  `destination_port_range_min` int(11) DEFAULT NULL,
  `destination_port_range_max` int(11) DEFAULT NULL,
  `source_ip_prefix` varchar(255) DEFAULT NULL,
  `destination_ip_prefix` varchar(255) DEFAULT NULL,
  `logical_source_port` varchar(36) DEFAULT NULL,
  `logical_destination_port` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `logical_source_port` (`logical_source_port`),
  KEY `logical_destination_port` (`logical_destination_port`),
  KEY `ix_sfc_flow_classifiers_project_id` (`project_id`),
  CONSTRAINT `sfc_flow_classifiers_ibfk_1` FOREIGN KEY (`logical_source_port`) REFERENCES `ports` (`id`),
  CONSTRAINT `sfc_flow_classifiers_ibfk_2` FOREIGN KEY (`logical_destination_port`) REFERENCES `ports` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '2369f6a2-5947-4e73-8a83-d8832fcd6499', 'dns', 'IPv4', 'udp', '', 1024, 65535, 53, 53, NULL, NULL, '7953b5d8-125c-437f-94a4-c5f902e825e5', NULL);
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '28e8763d-8681-4f6d-bd52-2917fa989a9a', 'unused ✓', 'IPv6', 'udp', '', NULL, NULL, NULL, NULL, NULL, NULL, '7953b5d8-125c-437f-94a4-c5f902e825e5', NULL);
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '38512f24-93de-48af-bd9e-c14a5d500d45', 'other port', 'IPv4', 'tcp', '', 9000, 9001, 9000, 9001, NULL, NULL, '4ea45e18-ccde-4aab-8c47-0105c7640ff7', '7953b5d8-125c-437f-94a4-c5f902e825e5');
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '4b17140c-d7f5-41d8-8da0-b45514edba81', 'web', 'IPv4', 'tcp', 'all that goes to the web', NULL, NULL, 80, 443, '10.71.0.0/24', '10.71.0.9/32', '7953b5d8-125c-437f-94a4-c5f902e825e5', '4ea45e18-ccde-4aab-8c47-0105c7640ff7');
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '809aa125-5352-42d1-a7ff-1323cb98a8f9', 'six', 'IPv6', 'tcp', '', NULL, NULL, NULL, NULL, NULL, '2001:db8::/32', '7953b5d8-125c-437f-94a4-c5f902e825e5', NULL);
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ad71713a-b188-4603-a883-05d50dfa99ee', 'sloppy', 'IPv4', 'tcp', '', NULL, NULL, 8080, 8080, '10.71.0.7/24', NULL, '7953b5d8-125c-437f-94a4-c5f902e825e5', NULL);
INSERT INTO `sfc_flow_classifiers` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'd0fc642c-15f5-4504-ad7a-c92538c797ee', 'ping', 'IPv4', 'icmp', '', NULL, NULL, NULL, NULL, '10.71.0.0/24', '10.71.0.9/32', '7953b5d8-125c-437f-94a4-c5f902e825e5', NULL);
INSERT INTO `sfc_flow_classifiers` VALUES ('c97ce6e456784c5f921327d732fe631f', 'ef500d47-bbca-4ed6-bb3a-0f40cd10ac93', 'web', 'IPv4', 'tcp', '', NULL, NULL, 8443, 8443, NULL, NULL, '89d7e34a-7635-4d35-b174-472e9c688acb', NULL);
CREATE TABLE `sfc_path_nodes` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `nsp` int(11) NOT NULL,
  `nsi` int(11) NOT NULL,
  `node_type` varchar(32) DEFAULT NULL,
  `portchain_id` varchar(255) DEFAULT NULL,
  `status` varchar(32) DEFAULT NULL,
  `next_group_id` int(11) DEFAULT NULL,
  `next_hop` varchar(512) DEFAULT NULL,
  `fwd_path` tinyint(1) NOT NULL,
  `ppg_n_tuple_mapping` varchar(1024) DEFAULT NULL,
  `tap_enabled` tinyint(1) NOT NULL DEFAULT 0,
  `previous_node_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `portchain_id` (`portchain_id`),
  KEY `node_fk` (`previous_node_id`),
  KEY `ix_sfc_path_nodes_project_id` (`project_id`),
  CONSTRAINT `node_fk` FOREIGN KEY (`previous_node_id`) REFERENCES `sfc_path_nodes` (`id`) ON DELETE SET NULL,
  CONSTRAINT `sfc_path_nodes_ibfk_1` FOREIGN KEY (`portchain_id`) REFERENCES `sfc_port_chains` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '05c82f3d-79c3-4b72-b032-ba44699fc20f', 4, 254, 'dst_node', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d', 'building', NULL, NULL, 1, NULL, 0, '29c652cd-f567-4e5a-8d6b-0646ce7090ba');
INSERT INTO `sfc_path_nodes` VALUES ('c97ce6e456784c5f921327d732fe631f', '0a6f2ab8-bab5-4d41-ba40-45a8a94c58b5', 7, 254, 'sf_node', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c', 'building', NULL, NULL, 1, NULL, 0, 'c5c7da6a-6f6f-4bed-9865-6da760372049');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '19408f0f-c3f0-461b-965d-44fadc7ff87e', 1, 252, 'dst_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', NULL, NULL, 1, NULL, 0, 'c046b0fc-a3c7-495e-a0bd-74f6c276bca7');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '233ab776-a609-48f9-bb5a-8b5ea60bd526', 6, 255, 'src_node', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 'building', 1, '[{\"portpair_id\": \"5fa4396a-06e4-4d32-b9ea-e5d331e77988\", \"weight\": 1, \"tap_enabled\": false}, {\"portpair_id\": \"df75789a-c6a1-422e-95d3-9c0ed1d5d4a2\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '29c652cd-f567-4e5a-8d6b-0646ce7090ba', 4, 253, 'sf_node', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d', 'building', NULL, NULL, 1, NULL, 1, 'b4c906a7-5803-4650-ae8c-2b7c3b70b0c0');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '372a655a-2ae0-419f-8459-45c7aa1c82df', 3, 253, 'dst_node', 'e4b0c227-6887-430e-aee7-769a8cd51377', 'building', NULL, NULL, 1, NULL, 0, '578ceb14-7536-4789-89c4-bb3bcbbb7d85');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '3cb2b649-ea1b-4b2e-a253-3b08c8ae8d07', 4711, 253, 'sf_node', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 'building', NULL, NULL, 1, NULL, 0, '7cdbc6c6-05cb-4b0a-8ce2-9cbd829728e3');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '41e0d11b-5442-4951-b406-480b04c734d0', 6, 253, 'dst_node', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 'building', NULL, NULL, 1, NULL, 0, '96c26fb6-d397-4e2d-8679-8ca9db0f7355');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '578ceb14-7536-4789-89c4-bb3bcbbb7d85', 3, 254, 'sf_node', 'e4b0c227-6887-430e-aee7-769a8cd51377', 'building', NULL, NULL, 1, NULL, 0, 'ac6a8bad-c04e-4f92-96b7-e270294e3e3e');
INSERT INTO `sfc_path_nodes` VALUES ('c97ce6e456784c5f921327d732fe631f', '6b67f672-63a4-4748-9102-fdcac2906c8d', 7, 253, 'dst_node', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c', 'building', NULL, NULL, 1, NULL, 0, '0a6f2ab8-bab5-4d41-ba40-45a8a94c58b5');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '6e5a94aa-8f9a-4fc9-8a67-9d06e6580c7e', 1, 255, 'src_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', 1, '[{\"portpair_id\": \"df75789a-c6a1-422e-95d3-9c0ed1d5d4a2\", \"weight\": 1, \"tap_enabled\": false}, {\"portpair_id\": \"5fa4396a-06e4-4d32-b9ea-e5d331e77988\", \"weight\": 1, \"tap_enabled\": false}]', 0, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '7ac05020-819d-49da-b181-d59d48f97410', 1, 255, 'src_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', 2, '[{\"portpair_id\": \"ccfef5be-2609-4520-93cc-8875216691d2\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '7cdbc6c6-05cb-4b0a-8ce2-9cbd829728e3', 4711, 254, 'sf_node', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 'building', 2, '[{\"portpair_id\": \"ccfef5be-2609-4520-93cc-8875216691d2\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, 'a60fe65f-0a1b-467f-8a47-33a6e132e6ed');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '8276f09b-7bb9-4fed-aa12-d784a94c076b', 5, 253, 'dst_node', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6', 'building', NULL, NULL, 1, NULL, 0, 'f59cb87a-e465-4fa4-ab6e-958a05b73d57');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '937fc01c-cd4a-463c-8503-f629e5485407', 1, 252, 'dst_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', NULL, NULL, 0, NULL, 0, 'b2f8eb40-97de-437a-bff8-6654c3e6ed3f');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '96c26fb6-d397-4e2d-8679-8ca9db0f7355', 6, 252, 'sf_node', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 'building', NULL, NULL, 1, NULL, 1, 'c390706d-55e6-4b0d-95a4-de177f8002e8');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '9d3fc009-8021-4d94-848d-9529e6ccaedd', 1, 254, 'sf_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', 1, '[{\"portpair_id\": \"5fa4396a-06e4-4d32-b9ea-e5d331e77988\", \"weight\": 1, \"tap_enabled\": false}, {\"portpair_id\": \"df75789a-c6a1-422e-95d3-9c0ed1d5d4a2\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, '7ac05020-819d-49da-b181-d59d48f97410');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'a60fe65f-0a1b-467f-8a47-33a6e132e6ed', 4711, 255, 'src_node', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 'building', 1, '[{\"portpair_id\": \"5fa4396a-06e4-4d32-b9ea-e5d331e77988\", \"weight\": 1, \"tap_enabled\": false}, {\"portpair_id\": \"df75789a-c6a1-422e-95d3-9c0ed1d5d4a2\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ab7e1e83-797f-4017-96e0-7e3a4002ec4f', 2, 255, 'src_node', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57', 'building', 1, '[{\"portpair_id\": \"5fa4396a-06e4-4d32-b9ea-e5d331e77988\", \"weight\": 1, \"tap_enabled\": false}, {\"portpair_id\": \"df75789a-c6a1-422e-95d3-9c0ed1d5d4a2\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ac6a8bad-c04e-4f92-96b7-e270294e3e3e', 3, 255, 'src_node', 'e4b0c227-6887-430e-aee7-769a8cd51377', 'building', 3, '[{\"portpair_id\": \"1d2e9e42-70b8-4d21-9552-ca003bbdf5ff\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'b2f8eb40-97de-437a-bff8-6654c3e6ed3f', 1, 253, 'sf_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', NULL, NULL, 0, NULL, 0, 'f1fc82c4-a2f2-4a74-986e-457f50ee18bb');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'b4c906a7-5803-4650-ae8c-2b7c3b70b0c0', 4, 255, 'src_node', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d', 'building', 4, '[{\"portpair_id\": \"0629dcfe-769c-49d4-9dcb-b0aecc217892\", \"weight\": 1, \"tap_enabled\": true}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'c046b0fc-a3c7-495e-a0bd-74f6c276bca7', 1, 253, 'sf_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', NULL, NULL, 1, NULL, 0, '9d3fc009-8021-4d94-848d-9529e6ccaedd');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'c390706d-55e6-4b0d-95a4-de177f8002e8', 6, 254, 'sf_node', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 'building', 4, '[{\"portpair_id\": \"0629dcfe-769c-49d4-9dcb-b0aecc217892\", \"weight\": 1, \"tap_enabled\": true}]', 1, NULL, 0, '233ab776-a609-48f9-bb5a-8b5ea60bd526');
INSERT INTO `sfc_path_nodes` VALUES ('c97ce6e456784c5f921327d732fe631f', 'c5c7da6a-6f6f-4bed-9865-6da760372049', 7, 255, 'src_node', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c', 'building', 7, '[{\"portpair_id\": \"58374c3e-9b81-4793-9606-9081a5638572\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'd0fd91e1-8b0f-4308-a99b-148d26027f41', 4711, 252, 'dst_node', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 'building', NULL, NULL, 1, NULL, 0, '3cb2b649-ea1b-4b2e-a253-3b08c8ae8d07');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'd36b43a4-d79e-4062-9f18-d35c6475442a', 2, 254, 'sf_node', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57', 'building', NULL, NULL, 1, NULL, 0, 'ab7e1e83-797f-4017-96e0-7e3a4002ec4f');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ec2866a6-d33f-4b3d-89bb-737ca769f0f8', 2, 253, 'dst_node', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57', 'building', NULL, NULL, 1, NULL, 0, 'd36b43a4-d79e-4062-9f18-d35c6475442a');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'f1fc82c4-a2f2-4a74-986e-457f50ee18bb', 1, 254, 'sf_node', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'building', 2, '[{\"portpair_id\": \"ccfef5be-2609-4520-93cc-8875216691d2\", \"weight\": 1, \"tap_enabled\": false}]', 0, NULL, 0, '6e5a94aa-8f9a-4fc9-8a67-9d06e6580c7e');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'f59cb87a-e465-4fa4-ab6e-958a05b73d57', 5, 254, 'sf_node', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6', 'building', NULL, NULL, 1, '{\"ingress_n_tuple\": {\"source_ip_prefix\": \"10.71.0.0/24\"}, \"egress_n_tuple\": {\"source_ip_prefix\": \"10.71.1.0/24\"}, \"curr_ppg_flag\": 1}', 0, 'f6de50b0-676a-4fda-86e2-0c65cd0c502c');
INSERT INTO `sfc_path_nodes` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'f6de50b0-676a-4fda-86e2-0c65cd0c502c', 5, 255, 'src_node', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6', 'building', 5, '[{\"portpair_id\": \"22b1a2be-eb14-4ecc-8489-8a202a308608\", \"weight\": 1, \"tap_enabled\": false}]', 1, NULL, 0, NULL);
CREATE TABLE `sfc_path_port_associations` (
  `pathnode_id` varchar(36) NOT NULL,
  `portpair_id` varchar(36) NOT NULL,
  `weight` int(11) NOT NULL,
  PRIMARY KEY (`pathnode_id`,`portpair_id`),
  KEY `portpair_id` (`portpair_id`),
  CONSTRAINT `sfc_path_port_associations_ibfk_1` FOREIGN KEY (`pathnode_id`) REFERENCES `sfc_path_nodes` (`id`) ON DELETE CASCADE,
  CONSTRAINT `sfc_path_port_associations_ibfk_2` FOREIGN KEY (`portpair_id`) REFERENCES `sfc_portpair_details` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_path_port_associations` VALUES ('0a6f2ab8-bab5-4d41-ba40-45a8a94c58b5', '58374c3e-9b81-4793-9606-9081a5638572', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('233ab776-a609-48f9-bb5a-8b5ea60bd526', '78373fae-319b-416a-a4f6-a9a37716436e', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('29c652cd-f567-4e5a-8d6b-0646ce7090ba', '0629dcfe-769c-49d4-9dcb-b0aecc217892', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('3cb2b649-ea1b-4b2e-a253-3b08c8ae8d07', 'ccfef5be-2609-4520-93cc-8875216691d2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('578ceb14-7536-4789-89c4-bb3bcbbb7d85', '1d2e9e42-70b8-4d21-9552-ca003bbdf5ff', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('6e5a94aa-8f9a-4fc9-8a67-9d06e6580c7e', '1525aeb3-940f-45e2-8e45-c4bc78e2e009', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('7ac05020-819d-49da-b181-d59d48f97410', '78373fae-319b-416a-a4f6-a9a37716436e', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('7cdbc6c6-05cb-4b0a-8ce2-9cbd829728e3', '5fa4396a-06e4-4d32-b9ea-e5d331e77988', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('7cdbc6c6-05cb-4b0a-8ce2-9cbd829728e3', 'df75789a-c6a1-422e-95d3-9c0ed1d5d4a2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('96c26fb6-d397-4e2d-8679-8ca9db0f7355', '0629dcfe-769c-49d4-9dcb-b0aecc217892', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('9d3fc009-8021-4d94-848d-9529e6ccaedd', 'ccfef5be-2609-4520-93cc-8875216691d2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('a60fe65f-0a1b-467f-8a47-33a6e132e6ed', '78373fae-319b-416a-a4f6-a9a37716436e', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('ab7e1e83-797f-4017-96e0-7e3a4002ec4f', '78373fae-319b-416a-a4f6-a9a37716436e', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('ac6a8bad-c04e-4f92-96b7-e270294e3e3e', '1525aeb3-940f-45e2-8e45-c4bc78e2e009', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('b2f8eb40-97de-437a-bff8-6654c3e6ed3f', 'ccfef5be-2609-4520-93cc-8875216691d2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('c046b0fc-a3c7-495e-a0bd-74f6c276bca7', '5fa4396a-06e4-4d32-b9ea-e5d331e77988', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('c046b0fc-a3c7-495e-a0bd-74f6c276bca7', 'df75789a-c6a1-422e-95d3-9c0ed1d5d4a2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('c390706d-55e6-4b0d-95a4-de177f8002e8', '5fa4396a-06e4-4d32-b9ea-e5d331e77988', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('c390706d-55e6-4b0d-95a4-de177f8002e8', 'df75789a-c6a1-422e-95d3-9c0ed1d5d4a2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('c5c7da6a-6f6f-4bed-9865-6da760372049', '3fa12e99-4c70-4190-b523-33428d055b60', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('d36b43a4-d79e-4062-9f18-d35c6475442a', '5fa4396a-06e4-4d32-b9ea-e5d331e77988', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('d36b43a4-d79e-4062-9f18-d35c6475442a', 'df75789a-c6a1-422e-95d3-9c0ed1d5d4a2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('f1fc82c4-a2f2-4a74-986e-457f50ee18bb', '5fa4396a-06e4-4d32-b9ea-e5d331e77988', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('f1fc82c4-a2f2-4a74-986e-457f50ee18bb', 'df75789a-c6a1-422e-95d3-9c0ed1d5d4a2', 1);
INSERT INTO `sfc_path_port_associations` VALUES ('f59cb87a-e465-4fa4-ab6e-958a05b73d57', '22b1a2be-eb14-4ecc-8489-8a202a308608', 1);
CREATE TABLE `sfc_port_chain_parameters` (
  `keyword` varchar(255) NOT NULL,
  `value` varchar(255) DEFAULT NULL,
  `chain_id` varchar(36) NOT NULL,
  PRIMARY KEY (`keyword`,`chain_id`),
  KEY `sfc_port_chain_parameters_ibfk_1` (`chain_id`),
  CONSTRAINT `sfc_port_chain_parameters_ibfk_1` FOREIGN KEY (`chain_id`) REFERENCES `sfc_port_chains` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', '060c6560-8a81-43d2-a127-0ea0ab912f0d');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', '9c7eddfe-9a37-4f94-b5e9-496f0395109f');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"nsh\"', 'e4b0c227-6887-430e-aee7-769a8cd51377');
INSERT INTO `sfc_port_chain_parameters` VALUES ('correlation', '\"mpls\"', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'true', '060c6560-8a81-43d2-a127-0ea0ab912f0d');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', '9c7eddfe-9a37-4f94-b5e9-496f0395109f');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', 'e4b0c227-6887-430e-aee7-769a8cd51377');
INSERT INTO `sfc_port_chain_parameters` VALUES ('symmetric', 'false', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6');
CREATE TABLE `sfc_port_chains` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `chain_id` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `chain_id` (`chain_id`),
  KEY `ix_sfc_port_chains_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '060c6560-8a81-43d2-a127-0ea0ab912f0d', 'web', '', 1);
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '082d49ab-97da-4bb8-a6fb-fd5ed8633b9d', 'tap', '', 4);
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '2b17d27b-0b2e-416b-ba04-6a4ddf042cae', 'sloppy', '', 6);
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', 'dns', '', 4711);
INSERT INTO `sfc_port_chains` VALUES ('c97ce6e456784c5f921327d732fe631f', 'c9518ec5-b2e4-4da9-8bef-34a22d9f010c', 'web', '', 7);
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'da4e9244-9351-4cc5-953e-48b5bfbc6b57', 'ping', '', 2);
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'e4b0c227-6887-430e-aee7-769a8cd51377', 'nsh', '', 3);
INSERT INTO `sfc_port_chains` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ef57a0b4-d3fd-4adb-a971-27e8eb32e1a6', 'rewriting', '', 5);
CREATE TABLE `sfc_port_pair_group_params` (
  `keyword` varchar(255) NOT NULL,
  `value` varchar(1024) DEFAULT NULL,
  `pair_group_id` varchar(36) NOT NULL,
  PRIMARY KEY (`keyword`,`pair_group_id`),
  KEY `pair_group_id` (`pair_group_id`),
  CONSTRAINT `sfc_port_pair_group_params_ibfk_1` FOREIGN KEY (`pair_group_id`) REFERENCES `sfc_port_pair_groups` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[\"ip_src\"]', '0c742305-9981-49ad-ac0a-e6beddff86a9');
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[]', '17bf6d4b-1068-4855-a207-fc385418c7c9');
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[]', '5f5cec28-50dc-4ecc-af11-89d09dbaa36f');
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[]', '63e2c30c-2135-4bf0-9eb5-bc9436672238');
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[]', 'b22f81e8-00fd-4519-9c8a-90ddc4b3ac79');
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[]', 'c31d7b87-42d6-4500-9c02-73dcbcd862c7');
INSERT INTO `sfc_port_pair_group_params` VALUES ('lb_fields', '[]', 'f995f7c0-c537-4a45-b531-978fcaa1fcbf');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {}, \"egress_n_tuple\": {}}', '0c742305-9981-49ad-ac0a-e6beddff86a9');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {\"source_ip_prefix\": \"10.71.0.0/24\"}, \"egress_n_tuple\": {\"source_ip_prefix\": \"10.71.1.0/24\"}}', '17bf6d4b-1068-4855-a207-fc385418c7c9');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {}, \"egress_n_tuple\": {}}', '5f5cec28-50dc-4ecc-af11-89d09dbaa36f');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {}, \"egress_n_tuple\": {}}', '63e2c30c-2135-4bf0-9eb5-bc9436672238');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {}, \"egress_n_tuple\": {}}', 'b22f81e8-00fd-4519-9c8a-90ddc4b3ac79');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {}, \"egress_n_tuple\": {}}', 'c31d7b87-42d6-4500-9c02-73dcbcd862c7');
INSERT INTO `sfc_port_pair_group_params` VALUES ('ppg_n_tuple_mapping', '{\"ingress_n_tuple\": {}, \"egress_n_tuple\": {}}', 'f995f7c0-c537-4a45-b531-978fcaa1fcbf');
CREATE TABLE `sfc_port_pair_groups` (
  `id` varchar(36) NOT NULL,
  `project_id` varchar(255) DEFAULT NULL,
  `name` varchar(255) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `group_id` int(11) NOT NULL,
  `tap_enabled` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`),
  UNIQUE KEY `group_id` (`group_id`),
  KEY `ix_sfc_port_pair_groups_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_port_pair_groups` VALUES ('0c742305-9981-49ad-ac0a-e6beddff86a9', '949d718780ef40d7a0ac3ceaa2158256', 'firewalls', 'two of them', 1, 0);
INSERT INTO `sfc_port_pair_groups` VALUES ('17bf6d4b-1068-4855-a207-fc385418c7c9', '949d718780ef40d7a0ac3ceaa2158256', 'rewriting', '', 5, 0);
INSERT INTO `sfc_port_pair_groups` VALUES ('5f5cec28-50dc-4ecc-af11-89d09dbaa36f', '949d718780ef40d7a0ac3ceaa2158256', 'nsh', '', 3, 0);
INSERT INTO `sfc_port_pair_groups` VALUES ('63e2c30c-2135-4bf0-9eb5-bc9436672238', 'c97ce6e456784c5f921327d732fe631f', 'firewalls', '', 7, 0);
INSERT INTO `sfc_port_pair_groups` VALUES ('b22f81e8-00fd-4519-9c8a-90ddc4b3ac79', '949d718780ef40d7a0ac3ceaa2158256', 'tap', '', 4, 1);
INSERT INTO `sfc_port_pair_groups` VALUES ('c31d7b87-42d6-4500-9c02-73dcbcd862c7', '949d718780ef40d7a0ac3ceaa2158256', 'aware', '', 2, 0);
INSERT INTO `sfc_port_pair_groups` VALUES ('f995f7c0-c537-4a45-b531-978fcaa1fcbf', '949d718780ef40d7a0ac3ceaa2158256', 'empty', '', 6, 0);
CREATE TABLE `sfc_port_pairs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `ingress` varchar(36) NOT NULL,
  `egress` varchar(36) NOT NULL,
  `portpairgroup_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_sfc_port_pairs0ingress0egress` (`ingress`,`egress`),
  KEY `egress` (`egress`),
  KEY `portpairgroup_id` (`portpairgroup_id`),
  KEY `ix_sfc_port_pairs_project_id` (`project_id`),
  CONSTRAINT `sfc_port_pairs_ibfk_1` FOREIGN KEY (`egress`) REFERENCES `ports` (`id`),
  CONSTRAINT `sfc_port_pairs_ibfk_2` FOREIGN KEY (`ingress`) REFERENCES `ports` (`id`),
  CONSTRAINT `sfc_port_pairs_ibfk_3` FOREIGN KEY (`portpairgroup_id`) REFERENCES `sfc_port_pair_groups` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '1d745093-cecb-4d91-9f16-6de71f57cd60', 'one-armed', '', '9151253e-4104-49c0-9a7c-e6ea60506a23', '9151253e-4104-49c0-9a7c-e6ea60506a23', '17bf6d4b-1068-4855-a207-fc385418c7c9');
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '25883adc-cb2f-4b25-b1ec-997e55a1932c', 'firewall 2', '', '47cfb57a-4283-4c41-966b-877f9b81baaa', '7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', '0c742305-9981-49ad-ac0a-e6beddff86a9');
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '2b4cb736-7e54-4e1b-925a-6d25241cc180', 'half', '', 'bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', '9151253e-4104-49c0-9a7c-e6ea60506a23', NULL);
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '6a9fb9c2-8ef3-4b36-ac11-822cedb4f164', 'tap', '', '41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', 'bd929916-2126-4188-985a-efafe42f35e2', 'b22f81e8-00fd-4519-9c8a-90ddc4b3ac79');
INSERT INTO `sfc_port_pairs` VALUES ('c97ce6e456784c5f921327d732fe631f', '6e266ddc-d807-44ba-9735-cfad73056a9b', 'firewall 1', '', '9c123e1a-2cc8-4839-ba66-fdccb199d990', 'ec50bc46-6166-4dc2-906f-a252feb48e94', '63e2c30c-2135-4bf0-9eb5-bc9436672238');
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '748aa5fd-472a-4a38-99dd-b91bf05ffaa6', 'nsh', '', '85f04430-5528-4404-8e1b-560ca85897c2', '8b7d45ed-fbf0-436b-98ba-d11b736ee50e', '5f5cec28-50dc-4ecc-af11-89d09dbaa36f');
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '9ecffa14-0475-44b4-a4c6-685e9b625bcc', 'aware', '', '68d8c8b8-cf5b-423d-a931-41671357262d', 'f043296c-88e0-419e-aad3-259a7377ecb0', 'c31d7b87-42d6-4500-9c02-73dcbcd862c7');
INSERT INTO `sfc_port_pairs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'a02e2d79-a692-4675-b5df-6da8f26d6de9', 'firewall 1', '', '26e9de3d-6eb6-4b51-981c-1a0bdf879915', '369a6455-7a79-437d-9196-aaedc1e58702', '0c742305-9981-49ad-ac0a-e6beddff86a9');
CREATE TABLE `sfc_portpair_details` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `ingress` varchar(36) DEFAULT NULL,
  `egress` varchar(36) DEFAULT NULL,
  `host_id` varchar(255) NOT NULL,
  `mac_address` varchar(32) NOT NULL,
  `network_type` varchar(8) DEFAULT NULL,
  `segment_id` int(11) DEFAULT NULL,
  `local_endpoint` varchar(64) NOT NULL,
  `in_mac_address` varchar(32) DEFAULT NULL,
  `correlation` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `ix_sfc_portpair_details_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '0629dcfe-769c-49d4-9dcb-b0aecc217892', '41c0cd16-f9f4-4bc9-b642-05bfdbb10f83', 'bd929916-2126-4188-985a-efafe42f35e2', 'h1', 'fa:16:3e:06:ef:f1', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:eb:37:ae', NULL);
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '1525aeb3-940f-45e2-8e45-c4bc78e2e009', NULL, '4ea45e18-ccde-4aab-8c47-0105c7640ff7', 'h1', 'fa:16:3e:9a:ba:35', 'vxlan', 8733, '10.102.0.11', NULL, NULL);
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '1d2e9e42-70b8-4d21-9552-ca003bbdf5ff', '85f04430-5528-4404-8e1b-560ca85897c2', '8b7d45ed-fbf0-436b-98ba-d11b736ee50e', 'h1', 'fa:16:3e:73:58:5c', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:97:31:68', 'nsh');
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '22b1a2be-eb14-4ecc-8489-8a202a308608', '9151253e-4104-49c0-9a7c-e6ea60506a23', '9151253e-4104-49c0-9a7c-e6ea60506a23', 'h1', 'fa:16:3e:4c:a7:c5', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:4c:a7:c5', NULL);
INSERT INTO `sfc_portpair_details` VALUES ('c97ce6e456784c5f921327d732fe631f', '3fa12e99-4c70-4190-b523-33428d055b60', NULL, '89d7e34a-7635-4d35-b174-472e9c688acb', 'h1', 'fa:16:3e:32:1c:8e', 'vxlan', 3949, '10.102.0.11', NULL, NULL);
INSERT INTO `sfc_portpair_details` VALUES ('c97ce6e456784c5f921327d732fe631f', '58374c3e-9b81-4793-9606-9081a5638572', '9c123e1a-2cc8-4839-ba66-fdccb199d990', 'ec50bc46-6166-4dc2-906f-a252feb48e94', 'h1', 'fa:16:3e:4a:dc:bd', 'vxlan', 3949, '10.102.0.11', 'fa:16:3e:72:0f:77', NULL);
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '5fa4396a-06e4-4d32-b9ea-e5d331e77988', '47cfb57a-4283-4c41-966b-877f9b81baaa', '7b9fdab4-ca44-46d0-ae68-0fa0388c0a25', 'h1', 'fa:16:3e:8c:05:28', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:b2:79:29', NULL);
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '78373fae-319b-416a-a4f6-a9a37716436e', NULL, '7953b5d8-125c-437f-94a4-c5f902e825e5', 'h1', 'fa:16:3e:b4:78:eb', 'vxlan', 8733, '10.102.0.11', NULL, NULL);
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'a66eba7d-3672-41bb-abbe-c680c390d4be', 'bab2af36-7069-4bf2-8cc9-fc5d7f1d1445', '9151253e-4104-49c0-9a7c-e6ea60506a23', 'h1', 'fa:16:3e:4c:a7:c5', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:46:bb:ee', NULL);
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'ccfef5be-2609-4520-93cc-8875216691d2', '68d8c8b8-cf5b-423d-a931-41671357262d', 'f043296c-88e0-419e-aad3-259a7377ecb0', 'h1', 'fa:16:3e:8f:b7:e2', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:15:12:bd', 'mpls');
INSERT INTO `sfc_portpair_details` VALUES ('949d718780ef40d7a0ac3ceaa2158256', 'df75789a-c6a1-422e-95d3-9c0ed1d5d4a2', '26e9de3d-6eb6-4b51-981c-1a0bdf879915', '369a6455-7a79-437d-9196-aaedc1e58702', 'h1', 'fa:16:3e:fa:55:78', 'vxlan', 8733, '10.102.0.11', 'fa:16:3e:38:16:5c', NULL);
CREATE TABLE `sfc_service_function_params` (
  `keyword` varchar(255) NOT NULL,
  `value` varchar(255) DEFAULT NULL,
  `pair_id` varchar(36) NOT NULL,
  PRIMARY KEY (`keyword`,`pair_id`),
  KEY `sfc_service_function_params_ibfk_1` (`pair_id`),
  CONSTRAINT `sfc_service_function_params_ibfk_1` FOREIGN KEY (`pair_id`) REFERENCES `sfc_port_pairs` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_service_function_params` VALUES ('correlation', 'null', '1d745093-cecb-4d91-9f16-6de71f57cd60');
INSERT INTO `sfc_service_function_params` VALUES ('correlation', 'null', '25883adc-cb2f-4b25-b1ec-997e55a1932c');
INSERT INTO `sfc_service_function_params` VALUES ('correlation', 'null', '6a9fb9c2-8ef3-4b36-ac11-822cedb4f164');
INSERT INTO `sfc_service_function_params` VALUES ('correlation', 'null', '6e266ddc-d807-44ba-9735-cfad73056a9b');
INSERT INTO `sfc_service_function_params` VALUES ('correlation', '\"nsh\"', '748aa5fd-472a-4a38-99dd-b91bf05ffaa6');
INSERT INTO `sfc_service_function_params` VALUES ('correlation', '\"mpls\"', '9ecffa14-0475-44b4-a4c6-685e9b625bcc');
INSERT INTO `sfc_service_function_params` VALUES ('correlation', 'null', 'a02e2d79-a692-4675-b5df-6da8f26d6de9');
INSERT INTO `sfc_service_function_params` VALUES ('weight', '1', '1d745093-cecb-4d91-9f16-6de71f57cd60');
INSERT INTO `sfc_service_function_params` VALUES ('weight', '3', '25883adc-cb2f-4b25-b1ec-997e55a1932c');
INSERT INTO `sfc_service_function_params` VALUES ('weight', '2', '2b4cb736-7e54-4e1b-925a-6d25241cc180');
INSERT INTO `sfc_service_function_params` VALUES ('weight', '1', '6a9fb9c2-8ef3-4b36-ac11-822cedb4f164');
INSERT INTO `sfc_service_function_params` VALUES ('weight', '1', '6e266ddc-d807-44ba-9735-cfad73056a9b');
INSERT INTO `sfc_service_function_params` VALUES ('weight', '1', 'a02e2d79-a692-4675-b5df-6da8f26d6de9');
CREATE TABLE `sfc_service_graph_chain_associations` (
  `service_graph_id` varchar(36) NOT NULL,
  `src_chain` varchar(36) NOT NULL,
  `dst_chain` varchar(36) NOT NULL,
  PRIMARY KEY (`service_graph_id`,`src_chain`,`dst_chain`),
  KEY `dst_chain` (`dst_chain`),
  KEY `src_chain` (`src_chain`),
  CONSTRAINT `sfc_service_graph_chain_associations_ibfk_1` FOREIGN KEY (`dst_chain`) REFERENCES `sfc_port_chains` (`id`),
  CONSTRAINT `sfc_service_graph_chain_associations_ibfk_2` FOREIGN KEY (`service_graph_id`) REFERENCES `sfc_service_graphs` (`id`) ON DELETE CASCADE,
  CONSTRAINT `sfc_service_graph_chain_associations_ibfk_3` FOREIGN KEY (`src_chain`) REFERENCES `sfc_port_chains` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_service_graph_chain_associations` VALUES ('11d0c106-b0c1-4639-9756-18df79b7204a', '9c7eddfe-9a37-4f94-b5e9-496f0395109f', '060c6560-8a81-43d2-a127-0ea0ab912f0d');
CREATE TABLE `sfc_service_graphs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `ix_sfc_service_graphs_project_id` (`project_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `sfc_service_graphs` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '11d0c106-b0c1-4639-9756-18df79b7204a', 'graph', '');
CREATE TABLE `sfc_uuid_intid_associations` (
  `id` varchar(36) NOT NULL,
  `uuid` varchar(36) NOT NULL,
  `intid` int(11) NOT NULL,
  `type_` varchar(32) NOT NULL,
  PRIMARY KEY (`id`,`uuid`),
  UNIQUE KEY `intid` (`intid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `standardattributes` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `resource_type` varchar(255) NOT NULL,
  `created_at` datetime DEFAULT NULL,
  `updated_at` datetime DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `revision_number` bigint(20) NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=173 DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `standardattributes` VALUES (1, 'securitygroupdefaultrules', NULL, NULL, 'Legacy default SG rule for egress traffic', 0);
INSERT INTO `standardattributes` VALUES (2, 'securitygroupdefaultrules', NULL, NULL, 'Legacy default SG rule for egress traffic', 0);
INSERT INTO `standardattributes` VALUES (3, 'securitygroupdefaultrules', NULL, NULL, 'Legacy default SG rule for ingress traffic', 0);
INSERT INTO `standardattributes` VALUES (4, 'securitygroupdefaultrules', NULL, NULL, 'Legacy default SG rule for ingress traffic', 0);
INSERT INTO `standardattributes` VALUES (5, 'securitygroups', '2026-11-25 00:32:07', '2026-11-25 00:32:07', 'Default security group', 1);
INSERT INTO `standardattributes` VALUES (6, 'securitygrouprules', '2026-11-25 00:32:07', '2026-11-25 00:32:07', NULL, 0);
INSERT INTO `standardattributes` VALUES (7, 'securitygrouprules', '2026-11-25 00:32:07', '2026-11-25 00:32:07', NULL, 0);
INSERT INTO `standardattributes` VALUES (8, 'securitygrouprules', '2026-11-25 00:32:07', '2026-11-25 00:32:07', NULL, 0);
INSERT INTO `standardattributes` VALUES (9, 'securitygrouprules', '2026-11-25 00:32:07', '2026-11-25 00:32:07', NULL, 0);
INSERT INTO `standardattributes` VALUES (95, 'securitygroups', '2026-11-25 00:38:17', '2026-11-25 00:38:17', 'Default security group', 1);
INSERT INTO `standardattributes` VALUES (96, 'securitygrouprules', '2026-11-25 00:38:17', '2026-11-25 00:38:17', NULL, 0);
INSERT INTO `standardattributes` VALUES (97, 'securitygrouprules', '2026-11-25 00:38:17', '2026-11-25 00:38:17', NULL, 0);
INSERT INTO `standardattributes` VALUES (98, 'securitygrouprules', '2026-11-25 00:38:17', '2026-11-25 00:38:17', NULL, 0);
INSERT INTO `standardattributes` VALUES (99, 'securitygrouprules', '2026-11-25 00:38:17', '2026-11-25 00:38:17', NULL, 0);
INSERT INTO `standardattributes` VALUES (139, 'networks', '2026-11-25 00:43:16', '2026-11-25 00:43:16', '', 2);
INSERT INTO `standardattributes` VALUES (140, 'networksegments', '2026-11-25 00:43:16', '2026-11-25 00:43:16', NULL, 0);
INSERT INTO `standardattributes` VALUES (141, 'subnets', '2026-11-25 00:43:16', '2026-11-25 00:43:16', '', 0);
INSERT INTO `standardattributes` VALUES (142, 'ports', '2026-11-25 00:43:17', '2026-11-25 00:43:21', '', 5);
INSERT INTO `standardattributes` VALUES (143, 'ports', '2026-11-25 00:43:18', '2026-11-25 00:43:23', '', 5);
INSERT INTO `standardattributes` VALUES (144, 'ports', '2026-11-25 00:43:22', '2026-11-25 00:43:27', '', 5);
INSERT INTO `standardattributes` VALUES (145, 'ports', '2026-11-25 00:43:23', '2026-11-25 00:43:31', '', 5);
INSERT INTO `standardattributes` VALUES (146, 'ports', '2026-11-25 00:43:27', '2026-11-25 00:43:34', '', 5);
INSERT INTO `standardattributes` VALUES (147, 'ports', '2026-11-25 00:43:28', '2026-11-25 00:43:38', '', 5);
INSERT INTO `standardattributes` VALUES (148, 'ports', '2026-11-25 00:43:36', '2026-11-25 00:43:46', '', 5);
INSERT INTO `standardattributes` VALUES (149, 'ports', '2026-11-25 00:43:38', '2026-11-25 00:43:48', '', 5);
INSERT INTO `standardattributes` VALUES (150, 'ports', '2026-11-25 00:43:46', '2026-11-25 00:43:56', '', 5);
INSERT INTO `standardattributes` VALUES (151, 'ports', '2026-11-25 00:43:48', '2026-11-25 00:44:00', '', 5);
INSERT INTO `standardattributes` VALUES (152, 'ports', '2026-11-25 00:43:58', '2026-11-25 00:44:09', '', 5);
INSERT INTO `standardattributes` VALUES (153, 'ports', '2026-11-25 00:44:00', '2026-11-25 00:44:13', '', 5);
INSERT INTO `standardattributes` VALUES (154, 'ports', '2026-11-25 00:44:08', '2026-11-25 00:44:19', '', 5);
INSERT INTO `standardattributes` VALUES (155, 'ports', '2026-11-25 00:44:11', '2026-11-25 00:44:20', '', 5);
INSERT INTO `standardattributes` VALUES (156, 'networks', '2026-11-25 00:44:56', '2026-11-25 00:44:57', '', 2);
INSERT INTO `standardattributes` VALUES (157, 'networksegments', '2026-11-25 00:44:56', '2026-11-25 00:44:56', NULL, 0);
INSERT INTO `standardattributes` VALUES (158, 'subnets', '2026-11-25 00:44:57', '2026-11-25 00:44:57', '', 0);
INSERT INTO `standardattributes` VALUES (159, 'ports', '2026-11-25 00:44:58', '2026-11-25 00:45:05', '', 5);
INSERT INTO `standardattributes` VALUES (160, 'ports', '2026-11-25 00:44:59', '2026-11-25 00:45:09', '', 5);
INSERT INTO `standardattributes` VALUES (161, 'ports', '2026-11-25 00:45:07', '2026-11-25 00:45:13', '', 5);
INSERT INTO `standardattributes` VALUES (162, 'ports', '2026-11-25 00:45:08', '2026-11-25 00:45:16', '', 5);
INSERT INTO `standardattributes` VALUES (163, 'ports', '2026-11-25 00:45:15', '2026-11-25 00:45:21', '', 5);
INSERT INTO `standardattributes` VALUES (164, 'ports', '2026-11-25 00:45:16', '2026-11-25 00:45:25', '', 5);
INSERT INTO `standardattributes` VALUES (165, 'ports', '2026-11-25 00:45:22', '2026-11-25 00:45:28', '', 5);
INSERT INTO `standardattributes` VALUES (166, 'ports', '2026-11-25 00:45:23', '2026-11-25 00:45:30', '', 5);
INSERT INTO `standardattributes` VALUES (167, 'ports', '2026-11-25 00:45:29', '2026-11-25 00:45:38', '', 5);
INSERT INTO `standardattributes` VALUES (168, 'ports', '2026-11-25 00:45:30', '2026-11-25 00:45:43', '', 5);
INSERT INTO `standardattributes` VALUES (169, 'ports', '2026-11-25 00:45:41', '2026-11-25 00:45:57', '', 5);
INSERT INTO `standardattributes` VALUES (170, 'ports', '2026-11-25 00:45:43', '2026-11-25 00:45:56', '', 5);
INSERT INTO `standardattributes` VALUES (171, 'ports', '2026-11-25 00:45:54', '2026-11-25 00:46:08', '', 5);
INSERT INTO `standardattributes` VALUES (172, 'ports', '2026-11-25 00:45:57', '2026-11-25 00:46:10', '', 5);
CREATE TABLE `subnet_bgp_leak_routes` (
  `subnet_id` varchar(36) NOT NULL,
  PRIMARY KEY (`subnet_id`),
  CONSTRAINT `subnet_bgp_leak_routes_ibfk_1` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnet_dns_publish_fixed_ips` (
  `subnet_id` varchar(36) NOT NULL,
  `dns_publish_fixed_ip` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`subnet_id`),
  CONSTRAINT `subnet_dns_publish_fixed_ips_ibfk_1` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnet_service_types` (
  `subnet_id` varchar(36) NOT NULL,
  `service_type` varchar(255) NOT NULL,
  PRIMARY KEY (`subnet_id`,`service_type`),
  CONSTRAINT `subnet_service_types_ibfk_1` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnetpoolprefixes` (
  `cidr` varchar(64) NOT NULL,
  `subnetpool_id` varchar(36) NOT NULL,
  PRIMARY KEY (`cidr`,`subnetpool_id`),
  KEY `subnetpool_id` (`subnetpool_id`),
  CONSTRAINT `subnetpoolprefixes_ibfk_1` FOREIGN KEY (`subnetpool_id`) REFERENCES `subnetpools` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnetpoolrbacs` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `target_project` varchar(255) NOT NULL,
  `action` varchar(255) NOT NULL,
  `object_id` varchar(36) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_subnetpoolrbacs0target_project0object_id0action` (`target_project`,`object_id`,`action`),
  KEY `object_id` (`object_id`),
  KEY `ix_subnetpoolrbacs_project_id` (`project_id`),
  KEY `ix_subnetpoolrbacs_action` (`action`),
  KEY `ix_subnetpoolrbacs_target_project` (`target_project`),
  CONSTRAINT `subnetpoolrbacs_ibfk_1` FOREIGN KEY (`object_id`) REFERENCES `subnetpools` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnetpools` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `ip_version` int(11) NOT NULL,
  `default_prefixlen` int(11) NOT NULL,
  `min_prefixlen` int(11) NOT NULL,
  `max_prefixlen` int(11) NOT NULL,
  `shared` tinyint(1) NOT NULL DEFAULT 0,
  `default_quota` int(11) DEFAULT NULL,
  `hash` varchar(36) NOT NULL DEFAULT '',
  `address_scope_id` varchar(36) DEFAULT NULL,
  `is_default` tinyint(1) NOT NULL DEFAULT 0,
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_subnetpools0standard_attr_id` (`standard_attr_id`),
  KEY `ix_subnetpools_project_id` (`project_id`),
  KEY `ix_subnetpools_address_scope_id` (`address_scope_id`),
  CONSTRAINT `subnetpools_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnetroutes` (
  `destination` varchar(64) NOT NULL,
  `nexthop` varchar(64) NOT NULL,
  `subnet_id` varchar(36) NOT NULL,
  PRIMARY KEY (`destination`,`nexthop`,`subnet_id`),
  KEY `subnet_id` (`subnet_id`),
  CONSTRAINT `subnetroutes_ibfk_1` FOREIGN KEY (`subnet_id`) REFERENCES `subnets` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `subnets` (
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `network_id` varchar(36) NOT NULL,
  `ip_version` int(11) NOT NULL,
  `cidr` varchar(64) NOT NULL,
  `gateway_ip` varchar(64) DEFAULT NULL,
  `enable_dhcp` tinyint(1) DEFAULT NULL,
  `ipv6_ra_mode` enum('slaac','dhcpv6-stateful','dhcpv6-stateless') DEFAULT NULL,
  `ipv6_address_mode` enum('slaac','dhcpv6-stateful','dhcpv6-stateless') DEFAULT NULL,
  `subnetpool_id` varchar(36) DEFAULT NULL,
  `standard_attr_id` bigint(20) NOT NULL,
  `segment_id` varchar(36) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_subnets0standard_attr_id` (`standard_attr_id`),
  KEY `network_id` (`network_id`),
  KEY `ix_subnets_subnetpool_id` (`subnetpool_id`),
  KEY `segment_id` (`segment_id`),
  KEY `ix_subnets_project_id` (`project_id`),
  CONSTRAINT `subnets_ibfk_1` FOREIGN KEY (`network_id`) REFERENCES `networks` (`id`),
  CONSTRAINT `subnets_ibfk_2` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE,
  CONSTRAINT `subnets_ibfk_3` FOREIGN KEY (`segment_id`) REFERENCES `networksegments` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
INSERT INTO `subnets` VALUES ('949d718780ef40d7a0ac3ceaa2158256', '35611da6-0183-466d-a233-f2cfff756754', '', 'ebd33dcc-2403-4340-a470-15b9b920bae3', 4, '10.71.0.0/24', '10.71.0.1', 0, NULL, NULL, NULL, 141, NULL);
INSERT INTO `subnets` VALUES ('c97ce6e456784c5f921327d732fe631f', '779d5799-8f6d-4f8a-b5e2-5229391b6973', '', '499bb100-03a6-4893-8076-1db14e8d11cb', 4, '10.72.0.0/24', '10.72.0.1', 0, NULL, NULL, NULL, 158, NULL);
CREATE TABLE `subports` (
  `port_id` varchar(36) NOT NULL,
  `trunk_id` varchar(36) NOT NULL,
  `segmentation_type` varchar(32) NOT NULL,
  `segmentation_id` int(11) NOT NULL,
  PRIMARY KEY (`port_id`),
  UNIQUE KEY `uniq_subport0trunk_id0segmentation_type0segmentation_id` (`trunk_id`,`segmentation_type`,`segmentation_id`),
  CONSTRAINT `subports_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `subports_ibfk_2` FOREIGN KEY (`trunk_id`) REFERENCES `trunks` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `tags` (
  `standard_attr_id` bigint(20) NOT NULL,
  `tag` varchar(255) NOT NULL,
  PRIMARY KEY (`standard_attr_id`,`tag`),
  CONSTRAINT `tags_ibfk_1` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE `trunks` (
  `admin_state_up` tinyint(1) NOT NULL DEFAULT 1,
  `project_id` varchar(255) DEFAULT NULL,
  `id` varchar(36) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `port_id` varchar(36) NOT NULL,
  `status` varchar(16) NOT NULL DEFAULT 'ACTIVE',
  `standard_attr_id` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `port_id` (`port_id`),
  UNIQUE KEY `standard_attr_id` (`standard_attr_id`),
  KEY `ix_trunks_project_id` (`project_id`),
  CONSTRAINT `trunks_ibfk_1` FOREIGN KEY (`port_id`) REFERENCES `ports` (`id`) ON DELETE CASCADE,
  CONSTRAINT `trunks_ibfk_2` FOREIGN KEY (`standard_attr_id`) REFERENCES `standardattributes` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `vlan_allocations` (
  `id` varchar(36) NOT NULL,
  `vlan_id` int(11) NOT NULL,
  `physnet` varchar(64) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_vlan_allocations0vlan_id0physnet` (`vlan_id`,`physnet`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `vni_allocations` (
  `id` varchar(36) NOT NULL,
  `vni` int(11) NOT NULL,
  `physnet` varchar(64) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uniq_vni_allocations0vni0physnet` (`vni`,`physnet`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
CREATE TABLE `vni_vlan_mapping` (
  `id` varchar(36) NOT NULL,
  `vni_allocation_id` varchar(36) NOT NULL,
  `vlan_allocation_id` varchar(36) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `vni_allocation_id` (`vni_allocation_id`),
  UNIQUE KEY `vlan_allocation_id` (`vlan_allocation_id`),
  CONSTRAINT `vni_vlan_mapping_ibfk_1` FOREIGN KEY (`vni_allocation_id`) REFERENCES `vni_allocations` (`id`),
  CONSTRAINT `vni_vlan_mapping_ibfk_2` FOREIGN KEY (`vlan_allocation_id`) REFERENCES `vlan_allocations` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci;
