import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import { cniIpMasq, markedMasquerade } from '../../src/outbound/chains.ts'
import { OutboundNat } from '../../src/outbound/outbound-nat.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { BEHAVIOUR, type BehaviourName } from '../../src/outbound/source-nat-options.ts'
import type { ReplyCheck } from '../../src/policy.ts'
import { PortMappings } from '../../src/port-mapping/port-mappings.ts'
import { Lab } from './lab.ts'

/** A million flows that begin and end leave no trace on the heap. */

const MILLION = 1_000_000

it.each(['linux', 'rfc4787', 'winnat'] as BehaviourName[])('%s', (name) => {
  const lab = new Lab()
  lab.address(1, '203.0.113.1')
  const outside = { of4: () => 0xcb007101, of6: () => 0 }
  const nat = new SourceNat(lab.addresses, {
    ...BEHAVIOUR[name],
    outside,
    inside: name === 'linux' ? [] : ['10.0.0.0/8'],
  })
  const policy = new OutboundNat([
    ...markedMasquerade(nat),
    ...cniIpMasq({ pods: ['10.0.0.0/8'], subnet: '10.1.0.0/16', nat }),
  ])
  const mappings = new PortMappings(lab.addresses)
  mappings.addAll([{ protocol: 'tcp', port: '8000-8099', to: '10.0.0.9', masqueradeFrom: ['10.0.0.0/8'] }])
  // Every third candidate is taken, so that ports are looked for.
  let n = 0
  const reply: ReplyCheck = { taken: () => n++ % 3 === 0 }
  const { flow } = lab
  const tags = new Uint32Array(1024)
  let translated = 0
  const run = (count: number): void => {
    for (let i = 0; i < count; i++) {
      flow.reset()
      flow.tuple.set(0xc6336401, 0xcb007101, 9, 8000 + (i % 200), 6)
      flow.toLocal = true
      mappings.decide(flow)
      flow.reset()
      flow.out = 1
      flow.tuple.set(0x0a000000 + (i & 0xfff), 0xc6336400 + (i & 255), 1024 + (i & 1023), 53, 17)
      flow.original.copy(flow.tuple)
      if (policy.decide(flow, reply) && flow.drop === -1) translated++
      policy.ended(tags[i & 1023] as number)
      tags[i & 1023] = flow.drop === -1 ? flow.tag : 0
    }
  }
  run(MILLION / 2)
  expect(heapGrowth(() => run(MILLION))).toBeLessThan(HEAP_LIMIT)
  expect(translated).toBeGreaterThan(MILLION)
})
