"""Which Functions exist and how they connect: ports, links, slots, serials, FMRIs."""
