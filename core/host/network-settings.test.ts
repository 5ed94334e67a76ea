import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defaultSettings } from '../net/settings.ts'
import { readNetworkSettings } from './network-settings.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'network-settings-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const file = () => join(folder, 'network.json')
const write = (text: string) => writeFileSync(file(), text, { mode: 0o644 })

describe('readNetworkSettings()', () => {
  it('has the defaults where there is no file', async () => {
    expect(await readNetworkSettings(file())).toEqual(defaultSettings)
  })

  it('reads the example of the documentation', async () => {
    write(readFileSync(new URL('../../docs/network.example.json', import.meta.url), 'utf8'))
    const { gatewayIpv4, mtu, gatewayMac, limits } = await readNetworkSettings(file())
    expect([gatewayIpv4, mtu, gatewayMac]).toEqual(['10.76.0.1', 1400, '02:42:4b:00:00:01'])
    expect([limits.tcpFlows, limits.udpFlows]).toEqual([4096, 2048])
  })

  it.each([
    ['{', /network.json: .*JSON/],
    ['{"mtu":1500,"mtu":1400}', /"mtu" occurs twice/],
    ['{"mtu":99}', /network.json: "mtu"/],
  ])('refuses %s with the file and the field', async (text, reason) => {
    write(text)
    await expect(readNetworkSettings(file())).rejects.toThrow(reason)
  })

  it('refuses a file that others may write', async () => {
    write('{}')
    chmodSync(file(), 0o666)
    await expect(readNetworkSettings(file())).rejects.toThrow(/others than root may write it/)
  })
})
