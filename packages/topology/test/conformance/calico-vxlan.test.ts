import { calicoCases, calicoTopology, WIRE } from './calico-cases.ts'
import { conform } from './conform.ts'

/* Calico with VXLAN: VNI 4096, UDP port 4789, inner MACs of 66 and the SHA-1 of the nodes' names. */
conform(
  calicoCases(
    'calico-vxlan',
    calicoTopology('vxlan', 1450),
    [
      {
        at: 'node1/uplink',
        way: 'out',
        fields: { 'udp.dstport': 4789, 'vxlan.vni': 4096, 'ip.ttl': 64, '2:ip.ttl': 63 },
        bytes:
          `${WIRE} 0800 4500 0086 .... 0000 40 11 .... c0000201 c0000202 .... 12b5 0072 .... 08 000000 001000 00 ` +
          '662dbf44a68b 66f937c37e94 0800 4500 0054 .... .... 3f 01 .... 0af40105 0af40207',
      },
    ],
    '2:',
  ),
)
