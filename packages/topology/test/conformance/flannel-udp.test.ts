import { conform } from './conform.ts'
import { flannelCases, flannelTopology, WIRE } from './flannel-cases.ts'

/* flannel's UDP backend: no header of its own, and a process on each node that takes one from the TTL, too: traceroute sees two
 * hops that do not answer. */
conform(
  flannelCases({
    name: 'flannel-udp',
    topology: flannelTopology('udp', 1472),
    between: [
      {
        at: 'node1/uplink',
        way: 'out',
        fields: { 'udp.dstport': 8285, 'ip.ttl': 64 },
        bytes: `${WIRE} 0800 4500 0070 .... 4000 40 11 .... c0000201 c0000202 205d 205d 005c .... 4500 0054 .... .... 3e 01 .... 0af40105 0af40207`,
      },
    ],
    inner: '2:',
    ttl: 60,
    via: [],
  }),
)
