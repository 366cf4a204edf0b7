import { conform } from './conform.ts'
import { ETH, serviceCase, worldCases } from './world-cases.ts'

/* Ubuntu's FAN: modes.md 15. */

/** 172.16.3.4 to 172.16.3.5, IP in IP (A8). */
const OUTER = `${ETH} 4500 .... .... .... 40 04 .... ac100304 ac100305`

conform({
  mode: 'fan',
  topology: 'fan',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: 'Appendix B',
      title: 'frames on the bridge',
      check: { ping: { from: 'ant', to: 'bee', count: 1 } },
      sees: [{ at: 'n1/bee', way: 'out', fields: { 'ip.src': '250.3.4.2', 'ip.ttl': 64, 'icmp.type': 8 } }],
    },
    {
      flow: 'pod to pod, other node',
      section: '15',
      title: 'in IP to the node that the address names, TTL - 1 on both',
      check: { ping: { from: 'ant', to: 'cat', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'ip.proto': 4, 'ip.dst': '172.16.3.5', '2:ip.dst': '250.3.5.15', '2:ip.ttl': 63 },
          bytes: `${OUTER} 4500 .... .... .... 3f 01 .... fa030402 fa03050f`,
        },
        { at: 'n2/cat', way: 'out', fields: { 'ip.src': '250.3.4.2', 'ip.ttl': 62, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'Appendix B',
      title: 'two hops',
      check: { traceroute: { from: 'ant', to: 'cat', via: ['250.3.4.1', '250.3.5.1'] } },
      sees: [],
    },
    serviceCase('ant', 'cat', [
      { at: 'n1/uplink', way: 'out', fields: { '2:ip.src': '250.3.4.2', '2:ip.dst': '250.3.5.15' } },
      { at: 'n1/ant', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
    ]),
    ...worldCases({ node: 'n1', address: '172.16.3.4', pod: 'ant', ip: '250.3.4.2', section: 'Appendix B' }),
    {
      flow: 'ARP',
      section: 'Appendix B',
      title: 'the bridge answers',
      check: { arp: { from: 'ant', to: '250.3.4.1', count: 1 } },
      sees: [{ at: 'n1/ant', way: 'out', fields: { 'arp.opcode': 2, 'arp.src.proto_ipv4': '250.3.4.1' } }],
    },
    {
      flow: 'broadcast',
      section: 'Appendix B',
      title: 'on the node’s bridge, and in no tunnel',
      check: { ping: { from: 'ant', to: '250.3.4.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'n1/bee', way: 'out', fields: { 'arp.dst.proto_ipv4': '250.3.4.99' } },
        { at: 'n1/uplink', way: 'out', fields: { 'ip.proto': 4 }, never: true },
      ],
    },
  ],
})
