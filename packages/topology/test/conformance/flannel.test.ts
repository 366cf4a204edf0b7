import { conform } from './conform.ts'
import { flannelCases, flannelTopology, WIRE } from './flannel-cases.ts'

/* flannel with VXLAN: VNI 1, UDP port 8472, an address of its own inside. */
conform(
  flannelCases({
    name: 'flannel',
    topology: flannelTopology('vxlan', 1450),
    between: [
      {
        at: 'node1/uplink',
        way: 'out',
        // tshark takes 8472 for OTV.
        fields: { 'udp.dstport': 8472, 'ip.ttl': 64 },
        bytes:
          `${WIRE} 0800 4500 0086 .... 0000 40 11 .... c0000201 c0000202 .... 2118 0072 .... 08 000000 000001 00 ` +
          '0a58c0000202 0a58c0000201 0800 4500 0054 .... .... 3f 01 .... 0af40105 0af40207',
      },
    ],
    inner: '2:',
    ttl: 62,
    via: ['10.244.1.1', '10.244.2.0'],
  }),
)
