import { setTimeout as sleep } from 'node:timers/promises'
import { Batch, type Frame, FramePool } from '@l2l3/switch-core'
import { arp, eth, formatMac, u32 } from '@l2l3/switch-core/wire'
import { macBytes, onLink } from '../address.ts'
import { arpFrame } from '../host/packet.ts'
import type { CheckSpec } from '../topology.ts'

/*
 * Who has an address, asked on a host's own interface by a packet socket: the host's kernel does not say what it knows
 * already. The requests are those of arping: broadcasts from the host's own MAC and address.
 */

/** Milliseconds from one request to the next, and between two looks for answers. */
const INTERVAL = 200
const LOOK = 5

/** Asks as often as the check says; gives the MACs that answered, one for each request that was, in order. */
export async function arpProbe(check: CheckSpec, place: { from: string; signal: AbortSignal }): Promise<string[]> {
  const { from, address, count, timeout } = check
  const own = from.addresses.find((a) => a.family === 4 && onLink(a, address.bytes)) ?? from.addresses[0]
  if (own === undefined) return []
  const { AfPacketPort } = await import('@l2l3/tap-io')
  const pool = new FramePool({ frames: 256, frameSize: 9018 })
  using port = AfPacketPort.open(pool, { device: 'eth0', netns: place.from, promiscuous: false })
  const request = arpFrame(arp.Op.Request, macBytes(from.mac), own.bytes, null, address.bytes)
  const batch = new Batch()
  const send = (): void => {
    const f = pool.from(request) as Frame
    pool.ledger.originate(1)
    batch.push(f)
    port.process(batch)
  }
  const macs: string[] = []
  for (let i = 0; i < count; i++) {
    send()
    const last = i === count - 1
    const until = performance.now() + (last ? timeout * 1000 : INTERVAL)
    while (macs.length <= i && performance.now() < until) {
      await sleep(LOOK, undefined, { signal: place.signal }).catch(() => {})
      place.signal.throwIfAborted()
      port.receive(batch)
      for (let j = 0; j < batch.length; j++) {
        const f = batch.frames[j] as Frame
        const said = answer(pool.view(f), u32(address.bytes, 0))
        if (said !== null && macs.length <= i) macs.push(said)
        pool.sent(f)
      }
      batch.length = 0
    }
    if (!last && macs.length > i) await sleep(Math.max(0, until - performance.now()))
  }
  return macs
}

/** The MAC that an ARP reply gives for an address; null where the frame is none. */
function answer(frame: Uint8Array, address: number): string | null {
  if (frame.length < eth.HLEN + arp.LENGTH || eth.type(frame, 0) !== eth.EtherType.Arp) return null
  if (!arp.check(frame, eth.HLEN, frame.length) || arp.op(frame, eth.HLEN) !== arp.Op.Reply) return null
  return arp.spa(frame, eth.HLEN) === address ? formatMac(frame, eth.HLEN + arp.SHA) : null
}
