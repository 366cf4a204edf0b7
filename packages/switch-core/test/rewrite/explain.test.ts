// What is said of frames whose MACs are rewritten: by which rule, and whose they are.
import { describe, expect, it } from 'vitest'
import { Batch, FramePool, MacRewrite } from '../../src/index.ts'
import { Listener } from '../listener.ts'
import { ALL, arpFrame, FABRIC, HOST, IP, ipFrame, Node, type Party, POD1, POD2 } from './lab.ts'

/** What the engine says when a party sends a frame; the switch has its own test. */
function said(node: Node, from: Party, frame: string): string[] {
  const trace = new Listener(node.pool)
  node.send(from, frame)
  node.pool.trace = null
  return trace.heard().filter((text) => !text.startsWith('switch'))
}

const ZERO = '000000000000'

describe('the l2bridge engine explains', () => {
  it('that what leaves has the MAC of the node', () => {
    const node = new Node()
    expect(said(node, 'pod1', ipFrame(FABRIC, POD1, IP.pod1, IP.gateway))).toEqual([
      "l2bridge: source MAC becomes the node's, 00:0d:3a:00:00:01",
    ])
    expect(said(node, 'pod1', arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.gateway))).toEqual([
      "l2bridge: source MAC becomes the node's, 00:0d:3a:00:00:01, also within ARP or ND",
    ])
  })

  it('whose a frame is that comes in', () => {
    const node = new Node()
    expect(said(node, 'fabric', ipFrame(HOST, FABRIC, IP.gateway, IP.pod1))).toEqual([
      "l2bridge: 10.240.0.11 is pod 1's: destination MAC is 02:00:00:00:00:01",
    ])
    expect(said(node, 'fabric', ipFrame(HOST, FABRIC, IP.gateway, IP.nobody))).toEqual([
      'l2bridge: no pod has 10.240.0.99',
    ])
  })

  it('who answers ARP', () => {
    const node = new Node()
    expect(said(node, 'pod1', arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.pod2))).toEqual([
      `l2bridge: who has 10.240.0.12? It is pod 2's: the request turns round, 10.240.0.12 is at ${colons(POD2)}`,
    ])
    expect(said(node, 'fabric', arpFrame(ALL, FABRIC, 1, FABRIC, IP.gateway, ZERO, IP.host))).toEqual([
      `l2bridge: who has 10.240.0.4? It is the host's: the request turns round, 10.240.0.4 is at ${colons(HOST)}`,
    ])
  })

  it('that in tunnel mode all goes to the fabric', () => {
    const node = new Node({ tunnelMac: colons(FABRIC) })
    expect(said(node, 'pod1', ipFrame(POD2, POD1, IP.pod1, IP.pod2))[0]).toBe(
      'l2bridge: tunnel mode: all goes to the MAC of the fabric',
    )
  })
})

describe('a MAC rewrite explains', () => {
  it('which rule matched, and what was written', () => {
    const pool = new FramePool({ frames: 8 })
    const element = new MacRewrite(pool, [
      { match: { to: '10.240.0.0/16' }, setSrc: colons(HOST) },
      { match: { etherType: 0x0806 }, action: 'drop' },
    ])
    const trace = new Listener(pool)
    for (const frame of [
      ipFrame(FABRIC, POD1, IP.pod1, IP.gateway),
      ipFrame(FABRIC, POD1, IP.pod1, '0b000001'),
      `${ALL}${POD1}0806`,
    ]) {
      const f = pool.from(Buffer.from(frame, 'hex'))
      const batch = new Batch()
      if (f !== -1) batch.push(f)
      element.process(batch)
    }
    expect(trace.heard()).toEqual([
      'MAC rewrite: rule 1 (to 10.240.0.0/16) matched: source MAC becomes 00:0d:3a:00:00:01',
      'MAC rewrite: no rule matched: it stays as it is',
      'MAC rewrite: rule 2 (etherType 2054) matched: it ends here',
    ])
  })
})

function colons(mac: string): string {
  return mac.replace(/..(?=.)/g, '$&:')
}
