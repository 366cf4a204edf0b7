import type { IpamConf } from '../cni/ipam-conf.ts'
import type { PlannedAddress } from '../ipam/plan.ts'
import type { Schema } from '../mode.ts'

/* The routes of a configuration's `ipam` as pods have them: the default routes by the mode's gateways, others as routes of a host. */

/** The key of a pod. */
export const hostRoutesKey: Schema = {
  type: 'array',
  description: 'Networks that the host reaches by others than its default gateway. Default: none.',
  items: {
    type: 'object',
    required: ['to', 'via'],
    additionalProperties: false,
    properties: {
      to: { type: 'string', description: 'The network: 10.96.0.0/12.' },
      via: { type: 'string', description: 'Who on the link leads there.' },
    },
  },
}

type Routes = IpamConf['routes']

const familyOf = (text: string): 4 | 6 => (text.includes(':') ? 6 : 4)

const isDefault = ({ dst }: Routes[number]): boolean => dst === '0.0.0.0/0' || dst === '::/0'

/** By whom the default routes lead, one of each family: the route's gateway, or the network's. */
export function defaultRouted(networks: readonly PlannedAddress[], routes: Routes): string[] {
  const all = routes.filter(isDefault).flatMap(({ dst, gw }) => {
    const own = networks.find(({ gateway }) => familyOf(gateway) === familyOf(dst))
    return gw ?? own?.gateway ?? []
  })
  return all.filter((text, i) => all.findIndex((other) => familyOf(other) === familyOf(text)) === i)
}

/** All other routes, of those families that a pod has. */
export function hostRoutes(ips: readonly PlannedAddress[], routes: Routes): { routes?: { to: string; via: string }[] } {
  const further = routes
    .filter((route) => !isDefault(route))
    .flatMap(({ dst: to, gw }) => {
      const own = ips.find(({ address }) => familyOf(address) === familyOf(to))
      const via = gw ?? own?.gateway
      return own === undefined || via === undefined ? [] : [{ to, via }]
    })
  return further.length === 0 ? {} : { routes: further }
}
