import { conform } from './conform.ts'
import { flannelCases, flannelTopology, WIRE } from './flannel-cases.ts'

/* flannel with IPIP: flannel.ipip, 20 bytes more. */
conform(
  flannelCases({
    name: 'flannel-ipip',
    topology: flannelTopology('ipip', 1480),
    between: [
      {
        at: 'node1/uplink',
        way: 'out',
        fields: { 'ip.proto': 4, 'ip.ttl': 63, '2:ip.ttl': 63 },
        bytes: `${WIRE} 0800 4500 0068 .... .... 3f 04 .... c0000201 c0000202 4500 0054 .... .... 3f 01 .... 0af40105 0af40207`,
      },
    ],
    inner: '2:',
    ttl: 62,
    via: ['10.244.1.1', '10.244.2.0'],
  }),
)
