import type { Element, Link } from '@l2l3/switch-core'
import type { Part } from './parts.ts'

/** What translates the packets of a bridge's port, each way, between who is behind it and the bridge. */
export interface PortTranslation extends Part {
  /** What comes in by the port passes it last before the bridge. */
  readonly fromPort: Element
  /** What leaves by the port passes it first behind the bridge. */
  readonly toPort: Element
  /** Says where packets go on that it has held, fragments that waited for their first, and those that it sends back.
   * @param onward those that came in by the port: through `fromPort` again, to the bridge
   * @param back those that leave by it: through `toPort` again, out by the port */
  goOn(onward: Link, back: Link): void
}

/** Makes it, when the port is plugged in. */
export type MakePortTranslation = () => PortTranslation
