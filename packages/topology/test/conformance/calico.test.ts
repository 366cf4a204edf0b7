import { calicoCases, calicoTopology, WIRE } from './calico-cases.ts'
import { conform } from './conform.ts'

/* Calico without encapsulation: routes to the blocks of nodes on the link. */
conform(
  calicoCases(
    'calico',
    calicoTopology('none', 1500),
    [
      {
        at: 'node1/uplink',
        way: 'out',
        fields: { 'ip.src': '10.244.1.5', 'ip.dst': '10.244.2.7', 'ip.ttl': 63 },
        bytes: `${WIRE} 0800 4500 0054 .... .... 3f 01 .... 0af40105 0af40207`,
      },
    ],
    '',
  ),
)
