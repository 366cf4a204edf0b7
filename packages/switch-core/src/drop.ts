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
  SamePort: 'The destination was learnt on the port that the frame came from, and hairpin is off there.',
  NoDestination: 'No port may take the frame: nothing else is in its VLAN, or flooding is off on all others.',
  Isolated: 'Both the port it came from and the port it would leave by are isolated.',
  MacGuard: 'The source address is not one of those that the port may use (MAC spoof check).',
  Storm: 'The port has used up its allowance of flooded frames (storm protection).',
  TooBig: 'The frame is longer than the MTU of the port it would leave by.',
  VlanIngress: 'The port it came from is not a member of the VLAN in its tag.',
  VlanEgress: 'The port it would leave by is not a member of its VLAN.',
  VlanReserved: 'The VLAN id in its tag is 4095, which is reserved.',
  Untagged: 'The frame has no VLAN tag, and the port it came from has no VLAN for untagged frames.',
  Fault: 'A fault that was asked for on this link: loss.',
  MirrorPort: 'The frame came in by a port that is the output of a mirror: nothing is taken in there.',
}

/** All reasons' names; the index is the reason's number. */
export const DROP_NAMES: readonly DropName[] = Object.keys(Drop) as DropName[]
/** How many reasons there are. */
export const DROP_COUNT: number = DROP_NAMES.length

/** Says in a sentence what a drop reason means. */
export function dropSentence(why: Drop | DropName): string {
  return SENTENCES[typeof why === 'number' ? (DROP_NAMES[why] as DropName) : why]
}
