import { type Availability, addonAvailable, native } from './native.ts'
import { explain } from './tap-error.ts'

/** Says whether TAP devices can be made here, by making one for a moment; if not, a sentence with the command that helps. */
export function tunAvailable(): Availability {
  const built = addonAvailable()
  if (!built.ok) return built
  const addon = native()
  const opened = addon.open(null, 'l2l3-probe%d', 0, null, Int32Array.of(0, -1, 0))
  if (opened.errno !== 0) return { ok: false, reason: `TAP devices are not to be had: ${explain(opened)}.` }
  addon.close(opened.handle)
  return { ok: true }
}
