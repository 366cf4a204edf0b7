import { conform } from './conform.ts'
import { flannelCases, flannelTopology, WIRE } from './flannel-cases.ts'

/* flannel with host-gw, which DirectRouting is, too: a route by the other node. */
conform(
  flannelCases({
    name: 'flannel-host-gw',
    topology: flannelTopology('host-gw', 1500),
    between: [
      {
        at: 'node1/uplink',
        way: 'out',
        fields: { 'ip.src': '10.244.1.5', 'ip.ttl': 63 },
        bytes: `${WIRE} 0800 4500 0054 .... .... 3f 01 .... 0af40105 0af40207`,
      },
    ],
    inner: '',
    ttl: 62,
    via: ['10.244.1.1', '192.0.2.2'],
  }),
)
