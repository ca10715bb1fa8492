"""Nova, Placement and Glance, with libvirt and QEMU on each host: installed on demand."""
