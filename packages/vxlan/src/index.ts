/**
 * Tunnels: VXLAN and GENEVE, then IPIP, GRE and the UDP relatives.
 */
export {}
