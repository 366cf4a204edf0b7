import { type FabricNode, type FabricSettings, fabric } from '@l2l3/modes'
import { type AclOptions, AclRules } from '@l2l3/nat'
import { parseIp, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, Mode, PortRow, Report } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { acl } from './l2bridge-schema.ts'
import { ModeNode } from './mode-node.ts'
import { tried } from './policies.ts'

/* mode: fabric - see `fabric` in @l2l3/modes. */

interface Options {
  mac?: string
  gatewayMac?: string
}

interface VmOptions {
  vmMac?: string
  ips?: string[]
  acl?: AclOptions
}

const of = (node: NodeSpec): Options => node.options as Options
const vmOf = (port: PortSpec): VmOptions => port.options as VmOptions

function check(node: NodeSpec, report: Report): void {
  for (const [key, mac] of Object.entries(of(node))) {
    if (key === 'mac' || key === 'gatewayMac') attempt(report, [key], () => parseMac(mac))
  }
  for (const port of node.ports) {
    const { vmMac, ips = [], acl: rules } = vmOf(port)
    if (port.endpoint !== null) report(port.path, 'a fabric has ports of virtual machines: nodes', 'key')
    else if (port.name === 'uplink') {
      if (of(node).gatewayMac === undefined) report([], 'the key "gatewayMac" is missing: whom the uplink leads to')
    } else if (vmMac === undefined) report(port.path, 'the key "vmMac" is missing: the MAC of the machine')
    else attempt(report, [...port.path, 'vmMac'], () => parseMac(vmMac))
    ips.forEach((text, i) => {
      attempt(report, [...port.path, 'ips', i], () => parseIp(text))
      const twice = node.ports.find((other) => other !== port && vmOf(other).ips?.includes(text))
      if (twice !== undefined) report([...port.path, 'ips', i], `${text} is given twice: ${twice.label} has it already`)
    })
    if (rules !== undefined) tried(report, [...port.path, 'acl'], () => new AclRules(rules))
  }
}

class FabricModeNode extends ModeNode {
  #node: FabricNode | null = null

  protected become(): void {
    const { mac, gatewayMac } = of(this.spec)
    const settings: FabricSettings = {
      vms: this.plugged.flatMap(({ spec, port }) => {
        const { vmMac, ips = [], acl: rules } = vmOf(spec)
        if (vmMac === undefined) return []
        const { name, label } = spec
        return [{ name, label, port, mac: parseMac(vmMac), ips, ...(rules === undefined ? {} : { acl: rules }) }]
      }),
    }
    const uplink = this.plugged.find(({ spec }) => spec.name === 'uplink')
    if (this.#node !== null) this.#node.change(settings)
    else {
      this.#node = fabric(this.ground, {
        ...settings,
        ...(mac === undefined ? {} : { mac: parseMac(mac) }),
        ...(uplink === undefined || gatewayMac === undefined
          ? {}
          : { uplink: { port: uplink.port, label: uplink.spec.label, gatewayMac: parseMac(gatewayMac) } }),
      })
    }
  }

  forget(): void {}

  ports(): PortRow[] {
    return this.plugged.map(({ spec: { name }, port }) => {
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        ...{ dropped: 0, portDropped: rxDropped + txDropped, offloads: port.offloadText },
      }
    })
  }

  fdb(): FdbRow[] {
    return []
  }
}

/** The physical host under nodes of mode l2tunnel. */
export const fabricMode: Mode = {
  name: 'fabric',
  options: {
    mac: { type: 'string', description: 'The MAC that it has for everybody. Default 12:34:56:78:9a:bc, as in Azure.' },
    gatewayMac: { type: 'string', description: 'The MAC of the router behind the uplink. Default: none, no uplink.' },
  },
  portOptions: {
    vmMac: { type: 'string', description: 'The MAC of the machine on the port: hostMac of its node.' },
    ips: {
      type: 'array',
      items: { type: 'string' },
      description: "The machine's addresses, those of its pods included.",
    },
    acl: { ...acl, description: 'What may pass the port (a network security group). Default: all.' },
  },
  check,
  build: (node, ground) => new FabricModeNode(node, ground),
}
