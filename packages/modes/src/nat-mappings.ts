import { dockerWindowsPolicies, type PortMapping } from '@l2l3/nat'

/* Whose rules say which port mappings there may be. */

/** A port of the node, or a range of them, that leads inside; see `PortMapping`. */
export interface PortMappingOptions extends Omit<PortMapping, 'masqueradeFrom' | 'notIn' | 'zone' | 'local'> {
  /** Whether hosts of the inside get there too, as if from the gateway (portmap's `snat`): else the server answers them
   * directly, and they do not know the answer; `all`: everybody does as if from there (`masqAll`). Default true. */
  readonly hairpin?: boolean | 'all'
}

/** `linux`: all that `PortMapping` can say; `docker-windows`: what Docker on Windows takes, which is one port of TCP or UDP at
 * all of the node's addresses. */
export type PortMappingRules = 'linux' | 'docker-windows'

const RULES: readonly string[] = ['linux', 'docker-windows'] satisfies PortMappingRules[]

/** Throws a TypeError with key and value for a mapping that the rules refuse. */
export function checkMapping(key: string, mapping: PortMappingOptions, rules: PortMappingRules = 'linux'): void {
  if (!RULES.includes(rules)) {
    throw new TypeError(`portMappingRules must be one of ${RULES.join(', ')}, not ${JSON.stringify(rules)}`)
  }
  const { hairpin } = mapping
  if (hairpin !== undefined && typeof hairpin !== 'boolean' && hairpin !== 'all') {
    throw new TypeError(`${key}.hairpin must be true, false or "all", not ${JSON.stringify(hairpin)}`)
  }
  if (rules === 'linux') return
  if (mapping.when !== undefined) throw new TypeError(`${key}.when: Docker on Windows asks for no addresses`)
  const { protocol, port, address } = mapping
  const [first, last] = String(port).split('-').map(Number) as [number, number?]
  const name = protocol === 6 ? 'tcp' : protocol === 17 ? 'udp' : String(protocol)
  try {
    dockerWindowsPolicies([
      { Proto: name, Port: 1, HostPort: first, HostPortEnd: last ?? first, HostIP: address ?? '' },
    ])
  } catch (error) {
    const { message } = error as Error
    for (const [theirs, ours] of [
      ['bindings[0].Proto', 'protocol'],
      ['bindings[0].HostPortEnd', 'port'],
      ['bindings[0].HostIP', 'address'],
    ] as const) {
      if (message.startsWith(theirs)) {
        throw new TypeError(`${key}.${ours}${message.slice(theirs.length)}`, { cause: error })
      }
    }
    throw error
  }
}
