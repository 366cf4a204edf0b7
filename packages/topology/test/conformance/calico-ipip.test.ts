import { calicoCases, calicoTopology, WIRE } from './calico-cases.ts'
import { conform } from './conform.ts'

/* Calico with IPIP: 20 bytes more, the outer TTL is the inner one, as tunl0 has it. */
conform(
  calicoCases(
    'calico-ipip',
    calicoTopology('ipip', 1480),
    [
      {
        at: 'node1/uplink',
        way: 'out',
        fields: { 'ip.proto': 4, 'ip.ttl': 63, '2:ip.src': '10.244.1.5', '2:ip.ttl': 63 },
        bytes: `${WIRE} 0800 4500 0068 .... .... 3f 04 .... c0000201 c0000202 4500 0054 .... .... 3f 01 .... 0af40105 0af40207`,
      },
    ],
    '2:',
  ),
)
