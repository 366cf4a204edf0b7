import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until something is so: ten seconds at most.
 * @param what is waited for, for the error */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !isSo(); i++) await sleep(50)
  if (!isSo()) throw new Error(`it did not come up: no ${what}`)
}
