/**
 * Why a frame ended here: the closed set of drop reasons.
 *
 * Every frame that enters leaves again by a port, is still held, or is dropped for one of these reasons; the
 * `Ledger` adds them up. Each reason is a small integer on the data path and a name with a sentence for people. Names
 * that Windows' VFP uses for the same thing are kept (modes.md 2.5): MacGuard, BlockBroadcast, NoDestination.
 */
export const Drop = {
  /* The frame itself */
  Runt: 0,
  Oversize: 1,
  Malformed: 2,
  BadOffload: 3,
  /* Room */
  PoolSpent: 4,
  NoHeadroom: 5,
  LinkFull: 6,
  PortFull: 7,
  /* Ports and paths */
  PortDown: 8,
  PortError: 9,
  PortClosed: 10,
  Unclaimed: 11,
  PathTooLong: 12,
  /* The switch */
  GroupSource: 13,
  ZeroSource: 14,
  ReservedGroup: 15,
  SamePort: 16,
  NoDestination: 17,
  Isolated: 18,
  MacGuard: 19,
  Storm: 20,
  TooBig: 21,
  /* VLANs */
  VlanIngress: 22,
  VlanEgress: 23,
  VlanReserved: 24,
  Untagged: 25,
  /* A cable's seeded faults */
  Fault: 26,
  /* Mirrors */
  MirrorPort: 27,
  /* Neighbours: ARP, ND and guards */
  Consumed: 28,
  NeighbourQueueFull: 29,
  NeighbourTableFull: 30,
  ArpFilter: 31,
  ArpGuard: 32,
  ArpLimiter: 33,
  IPv4Guard: 34,
  IPv6Guard: 35,
  DhcpGuard: 36,
  BlockNonIp: 37,
  /* MAC rewriting and demultiplexing */
  MacRule: 38,
  UnknownEndpoint: 39,
  BlockBroadcast: 40,
  TtlExceeded: 41,
  /* The router */
  NotIp: 42,
  OtherHost: 43,
  BadChecksum: 44,
  MartianSource: 45,
  MartianDestination: 46,
  LinkScope: 47,
  ReversePath: 48,
  LinkBroadcast: 49,
  GroupDestination: 50,
  DirectedBroadcast: 51,
  NoRoute: 52,
  Blackhole: 53,
  Unreachable: 54,
  Prohibited: 55,
  SourceRoute: 56,
  NoNeighbour: 57,
  Fragment: 58,
  NoListener: 59,
  /* NAT: conntrack, translation, services */
  ConntrackFull: 60,
  InvalidState: 61,
  NatPortsSpent: 62,
  NatFiltered: 63,
  NatUnsupported: 64,
  NoBackend: 65,
  FragmentOverlap: 66,
  FragmentQueueFull: 67,
  FragmentTimeout: 68,
  /* Tunnels */
  NoRemote: 69,
  SplitHorizon: 70,
  NestedTunnel: 71,
  UnknownVni: 72,
  TunnelFlags: 73,
  TunnelReserved: 74,
  TunnelVersion: 75,
  TunnelProtocol: 76,
  TunnelOptions: 77,
  CriticalOption: 78,
  TunnelControl: 79,
  TunnelSequence: 80,
  OuterFragment: 81,
  InnerRunt: 82,
  InnerVlan: 83,
  OwnSource: 84,
  EcnMismatch: 85,
  UnknownPeer: 86,
  /* Access control lists */
  AclBlock: 87,
} as const
/** A drop reason's number: a value of `Drop`. */
export type Drop = (typeof Drop)[keyof typeof Drop]
/** A drop reason's name: a key of `Drop`. */
export type DropName = keyof typeof Drop

const SENTENCES: Readonly<Record<DropName, string>> = {
  Runt: 'The frame is shorter than an Ethernet header (14 bytes, 18 with a VLAN tag).',
  Oversize: 'The frame is longer than a slot of the pool, or than the port it came from can deliver.',
  Malformed: 'A length or version field in a header contradicts the frame, and the work at hand needs that header.',
  BadOffload:
    'The checksum or segmentation request that came with the frame points outside it or contradicts its headers.',
  PoolSpent: 'The frame pool had no free slot.',
  NoHeadroom: 'The slot had no room left in front of the frame for another header.',
  LinkFull: 'The link to the next element held as many frames as it may.',
  PortFull: 'The port could not take more frames at this moment (its queue or its socket buffer was full).',
  PortDown: 'The port or the interface behind it is down.',
  PortError: 'The operating system refused the frame when it was written to the port.',
  PortClosed: 'The port was closed while the frame waited in it or on the way to it.',
  Unclaimed: 'The last element of the path left the frame in its batch: nothing was there to take it.',
  PathTooLong: 'The frame was still on its way when the loop was told to stop.',
  GroupSource: 'The source address is a group address (802.1Q 8.6.1; Linux drops it too).',
  ZeroSource: 'The source address is 00:00:00:00:00:00.',
  ReservedGroup:
    'The destination is a reserved 802.1D group address (01-80-C2-00-00-00..0F), which bridges do not forward.',
  SamePort:
    'The destination was learnt on the port that the frame came from, and hairpin is off there; on Windows, a pod is its own backend without loopback DSR.',
  NoDestination: 'No port may take the frame: nothing else is in its VLAN, or flooding is off on all others.',
  Isolated:
    'Both the port it came from and the port it would leave by are isolated; on Windows, also networks of its NAT: crossing subnets is not supported.',
  MacGuard: 'The source address is not one of those that the port may use (MAC spoof check).',
  Storm: 'The port has used up its allowance of flooded frames (storm protection).',
  TooBig: 'The frame is longer than the MTU of the port it would leave by.',
  VlanIngress: 'The port it came from is not a member of the VLAN in its tag.',
  VlanEgress: 'The port it would leave by is not a member of its VLAN.',
  VlanReserved: 'The VLAN id in its tag is 4095, which is reserved.',
  Untagged: 'The frame has no VLAN tag, and the port it came from has no VLAN for untagged frames.',
  Fault: 'A fault that was asked for on this link: loss.',
  MirrorPort: 'The frame came in by a port that is the output of a mirror: nothing is taken in there.',
  Consumed:
    'The frame was for this node, or one it answers for, and has done its work here: an ARP or ND message, a question about groups.',
  NeighbourQueueFull: 'Too many frames waited for the address of a next hop, and this one had waited longest.',
  NeighbourTableFull:
    'The table of neighbours was full of neighbours in use, and the next hop of the frame was not among them.',
  ArpFilter:
    'An ARP or ND message with impossible addresses, or one that nothing here can answer and that is not flooded.',
  ArpGuard: 'The pair of addresses that an ARP message claims for its sender is not one that the port may use.',
  ArpLimiter: 'The port has used up its allowance of ARP and ND messages.',
  IPv4Guard: 'The IPv4 source address is not one that the port may use with this MAC (anti-spoofing).',
  IPv6Guard:
    'The IPv6 source address, or an address that an ND message claims, is not one that the port may use with this MAC.',
  DhcpGuard: 'A message of a DHCP server came from a port where no server may be.',
  BlockNonIp: 'The frame is neither ARP nor IP, and the port may send nothing else.',
  MacRule: 'A rule of a MAC rewrite says that such frames end here.',
  UnknownEndpoint: 'No endpoint here has the address that the frame is for, and there is no host to take it instead.',
  BlockBroadcast: 'Broadcasts and multicasts do not pass here (ipvlan in its L3 modes).',
  TtlExceeded: 'The time to live, or hop limit, was used up where the frame would have been routed on.',
  NotIp: 'The frame is not for the router itself, and is neither IPv4 nor IPv6.',
  OtherHost: 'The destination MAC is that of another station: the frame was flooded, or the interface listens to all.',
  BadChecksum: 'A checksum of the frame is wrong, and the work at hand relies on what it covers.',
  MartianSource: 'The source address is one that no packet can come from (RFC 1812, 5.3.7; RFC 4291, 2.5), or our own.',
  MartianDestination: 'The destination address is one that no packet can go to (RFC 1812, 5.3.7; RFC 4291, 2.5).',
  LinkScope: 'A link-local IPv6 address is in the packet, which must not leave its link (RFC 4291, 2.5.6).',
  ReversePath:
    'The source address is not reachable, or not by where the packet came in (reverse-path filter, RFC 3704).',
  LinkBroadcast:
    'The packet is for one host but came in a broadcast or multicast frame: not routed on (RFC 1812, 5.3.4).',
  GroupDestination:
    'The packet is for a multicast group or a broadcast address, which is not routed on, and nothing here takes it.',
  DirectedBroadcast:
    'The packet is for the broadcast address of another network, and directed broadcasts are off (RFC 2644).',
  NoRoute: 'There is no route to the destination.',
  Blackhole: 'The route to the destination is a blackhole: dropped in silence.',
  Unreachable: 'The route to the destination says that it is unreachable.',
  Prohibited: 'The route to the destination says that going there is prohibited.',
  SourceRoute: 'The packet asks for a source route, which is not followed (RFC 1812, 5.3.13.4; RFC 5095).',
  NoNeighbour: 'The next hop did not answer: nobody on the link has its address.',
  Fragment: 'A fragment is for the router itself, and nothing here puts packets together.',
  NoListener:
    'The packet is for the router itself, and nothing here takes it: nobody listens, or a service there has no endpoints.',
  ConntrackFull: 'The table of flows was full of flows in use, and its policy is to refuse new ones.',
  InvalidState:
    'The packet cannot be where its flow is: impossible TCP flags, an answer that nobody asked for, an ICMP error about no flow.',
  NatPortsSpent: 'Every port that the translation may use towards this destination was taken.',
  NatFiltered: 'A port of the NAT was addressed that is in use, and its filtering lets nobody else in.',
  NatUnsupported:
    'The protocol cannot be translated here (ICMP where it is not transposed, or a protocol without ports to choose).',
  NoBackend: 'The service that the packet is for has no backend that may take it.',
  FragmentOverlap:
    'A fragment overlaps one that came before, or starts inside the header of the upper layer (RFC 1858, RFC 3128, RFC 5722).',
  FragmentQueueFull: 'Too many fragments waited for the first one of their packet.',
  FragmentTimeout: 'The first fragment of its packet did not come in time.',
  NoRemote: 'No tunnel endpoint is known for the destination, and unknown ones are not flooded.',
  SplitHorizon: 'The frame came out of a tunnel and would go into one of the same network: not again.',
  NestedTunnel:
    'The packet would be wrapped more often than is allowed, or in the tunnel that it is itself the outside of.',
  UnknownVni: 'No network here has the identifier (VNI or key) in the tunnel header.',
  TunnelFlags: 'A flag that must be set in the tunnel header is not, or one is set that is not known here.',
  TunnelReserved: 'Reserved bits of the tunnel header are not zero, and strict acceptance is on (modes.md 20.2).',
  TunnelVersion: 'The tunnel header has a version that is not known here.',
  TunnelProtocol:
    'The tunnel carries a kind of packet that is not taken here (VXLAN-GPE, a GRE or GENEVE protocol type).',
  TunnelOptions: 'The options of a GENEVE header contradict its length, or its C bit (RFC 8926, 3.5).',
  CriticalOption: 'A GENEVE option that must be understood is not (RFC 8926, 3.5).',
  TunnelControl:
    'A control packet of the tunnel itself (the O bit of GENEVE, a heartbeat of sleeve), and nothing here takes them.',
  TunnelSequence: 'The sequence number of the GRE packet is not after the last one (RFC 2890, 2.2).',
  OuterFragment: 'The outer packet of a tunnel is a fragment, and nothing here puts packets together.',
  InnerRunt: 'What the tunnel carries is shorter than an Ethernet or IP header.',
  InnerVlan: 'The frame in the tunnel, or for it, has a VLAN tag, and the network does not carry them (RFC 7348, 6.1).',
  OwnSource: 'The frame in the tunnel says that it comes from our own address there.',
  EcnMismatch:
    'The outer header says that congestion was met, and the inner sender does not understand that (RFC 6040, 4.2).',
  UnknownPeer: 'The outer source is not an endpoint that tunnels to here.',
  AclBlock:
    'A rule of an access control list blocks the flow that the packet is of or would begin, or no rule allows it.',
}

/** All reasons' names; the index is the reason's number. */
export const DROP_NAMES: readonly DropName[] = Object.keys(Drop) as DropName[]
/** How many reasons there are. */
export const DROP_COUNT: number = DROP_NAMES.length

/** Says in a sentence what a drop reason means. */
export function dropSentence(why: Drop | DropName): string {
  return SENTENCES[typeof why === 'number' ? (DROP_NAMES[why] as DropName) : why]
}
