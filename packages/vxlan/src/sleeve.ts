import { copy, put16, u16 } from '@l2l3/switch-core/wire'

/*
 * Weave's sleeve, without encryption: Ethernet frames between peers of a mesh in UDP over IPv4, port 6783 (weaveworks/weave
 * router/sleeve.go and frame_crypto.go; modes.md 15).
 *
 *     | sender 6 || src peer 6 | dst peer 6 | length 2 | Ethernet frame || src peer 6 | dst peer 6 | length 2 | frame || ...
 *       '- name '  '---------------- one item of the list -------------'
 *
 * The sender is who sent the datagram. Source and destination of an item are the peers that the frame comes from and is for:
 * others than sender and receiver where a frame is relayed. A name is six bytes and mostly looks like a MAC. As many frames
 * as fit travel in one datagram.
 *
 * A frame whose MAC addresses are all zero is a word between the two routers, known by its length: of 22 bytes a heartbeat
 * (8 bytes behind the Ethernet header tell which connection), else a test of fragmentation or path MTU.
 */

/** The UDP port: data and control. Fast datapath is VXLAN on the next one. */
export const PORT = 6783
/** Bytes of a peer's name. */
export const NAME = 6
/** Bytes in front of each frame. */
export const ITEM_HLEN = 14
/** Bytes of a heartbeat: an Ethernet header of zeros and 8 bytes. */
export const HEARTBEAT = 22

/** Where the first item of the datagram `[o, end)` is, or -1 where not even a name fits. */
export function first(_b: Uint8Array, o: number, end: number): number {
  return end - o < NAME ? -1 : o + NAME
}

/** Where the item behind the one at `at` is, `end` after the last; -1 where the item does not fit. */
export function next(b: Uint8Array, at: number, end: number): number {
  if (end - at < ITEM_HLEN) return -1
  const after = at + ITEM_HLEN + length(b, at)
  return after > end ? -1 : after
}

/** Items in the datagram `[o, end)`; -1 where it is not sound to its end. */
export function count(b: Uint8Array, o: number, end: number): number {
  let n = 0
  for (let at = first(b, o, end); at !== end; n++) {
    if (at === -1) return -1
    at = next(b, at, end)
  }
  return n
}

/** Bytes of the frame in the item at `at`. */
export function length(b: Uint8Array, at: number): number {
  return u16(b, at + 2 * NAME)
}

/** Tells whether the frame of `n` bytes at `o` is a word between routers: no MAC address in it. */
export function isSpecial(b: Uint8Array, o: number, n: number): boolean {
  if (n < 2 * NAME) return false
  for (let i = 0; i < 2 * NAME; i++) if (b[o + i] !== 0) return false
  return true
}

/** Writes the header of an item and returns where the frame goes. */
export function writeItem(b: Uint8Array, at: number, src: Uint8Array, dst: Uint8Array, bytes: number): number {
  copy(b, at, src, 0, NAME)
  copy(b, at + NAME, dst, 0, NAME)
  put16(b, at + 2 * NAME, bytes)
  return at + ITEM_HLEN
}
