/* A program that the tests run as different users: says, as JSON, what can be had. */
import { FramePool } from '@l2l3/switch-core'
import { addonAvailable, TapPort, tunAvailable } from '@l2l3/tap-io'

function open(): string {
  try {
    TapPort.open(new FramePool({ frames: 1 })).close()
    return 'opened'
  } catch (error) {
    return (error as Error).message
  }
}

console.log(JSON.stringify({ addon: addonAvailable(), tun: tunAvailable(), open: open() }))
