import { type AclOptions, AclRules } from '@l2l3/nat'
import { attempt } from '../attempt.ts'
import type { Path } from '../document.ts'
import type { Report } from '../mode.ts'

/** Reports what is wrong with the rules of an endpoint on a network where the firewall of the host alone is (modes.md 16). */
export function checkAcl(acl: unknown, path: Path, report: Report): void {
  if (acl !== undefined) attempt(report, path, () => new AclRules({ ...(acl as AclOptions), layers: ['host'] }))
}
