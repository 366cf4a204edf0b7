import { AZURE_LINUX } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { l2bridge } from '../src/index.ts'
import { frames, type Lab, lab } from './lab.ts'

/*
 *     pod1 02:..:01 10.240.0.11   pod2 02:..:02 10.240.0.12   host 00:0d:3a:00:00:01 10.240.0.4
 *     +--+---------------------------+---------------------------+--+
 *     |                           l2bridge                          |-- uplink -- 12:34:56:78:9a:bc 10.240.0.1
 *     +-------------------------------------------------------------+
 */
function node(options: Partial<Parameters<typeof l2bridge>[1]> = {}): Lab {
  const it = lab()
  l2bridge(it.ground, {
    hostMac: '00:0d:3a:00:00:01',
    hostIps: ['10.240.0.4'],
    pods: [
      { name: 'pod1', port: it.port('pod1'), mac: '02:00:00:00:00:01', ips: ['10.240.0.11'] },
      { name: 'pod2', port: it.port('pod2'), mac: '02:00:00:00:00:02', ips: ['10.240.0.12'] },
    ],
    uplink: { port: it.port('uplink') },
    host: { port: it.port('host') },
    ...options,
  })
  return it
}

const REQUEST = '0806 0001080006040001'
const REPLY = '0806 0001080006040002'
const fromPod = `ffffffffffff 020000000001 ${REQUEST} 020000000001 0af0000b 000000000000 0af00001`
/** Local experimental EtherType, two bytes. */
const plain = (dst: string, src: string): string => `${dst} ${src} 88b5 0102`

describe('l2bridge', () => {
  it('shows the host’s MAC on the uplink, ARP included, and none of it inside', () => {
    expect(node().send('pod1', fromPod)).toEqual({
      pod2: frames(fromPod),
      host: frames(fromPod),
      uplink: frames(`ffffffffffff 000d3a000001 ${REQUEST} 000d3a000001 0af0000b 000000000000 0af00001`),
    })
  })

  it('gives out what comes by IP address: the reply to the pod, the host’s to the host', () => {
    const reply = (ip: string): string => `000d3a000001 123456789abc ${REPLY} 123456789abc 0af00001 000d3a000001 ${ip}`
    expect(node().send('uplink', reply('0af0000b'))).toEqual({
      pod1: frames(`020000000001 123456789abc ${REPLY} 123456789abc 0af00001 020000000001 0af0000b`),
    })
    expect(node().send('uplink', reply('0af00004'))).toEqual({ host: frames(reply('0af00004')) })
  })

  it('answers pods that ask for each other, and switches between them as they are', () => {
    const n = node()
    expect(n.send('pod1', fromPod.replace('0af00001', '0af0000c'))).toEqual({
      pod1: frames(`020000000001 020000000002 ${REPLY} 020000000002 0af0000c 020000000001 0af0000b`),
    })
    expect(n.send('pod1', plain('020000000002', '020000000001'))).toEqual({
      pod2: frames(plain('020000000002', '020000000001')),
    })
  })

  it('leaks the first frame between pods where it does as Azure CNI on Linux', () => {
    expect(node(AZURE_LINUX).send('pod1', plain('020000000002', '020000000001'))).toEqual({
      pod1: frames(plain('020000000002', '020000000001')),
      pod2: frames(plain('020000000002', '020000000001')),
      uplink: frames(plain('020000000002', '000d3a000001')),
    })
  })

  it('drops what would leave where no uplink is plugged in', () => {
    const n = node({ uplink: null })
    expect(n.send('pod1', plain('123456789abc', '020000000001'))).toEqual({})
    expect(n.pool.report().dropped).toEqual({ PortDown: 1 })
  })
})
