// The `bulkhead` command. Does nothing but let Node remember compiled code between starts, before any of it loads.
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Careful: never Node's default, a folder in /tmp whose name others can guess and fill.
enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'bulkhead', 'compiled'))

const { main } = await import('./main.ts')
process.exit(await main(process.argv.slice(2)))
