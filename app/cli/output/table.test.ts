import { describe, expect, it } from 'vitest'
import { renderTable } from './table.ts'

describe('renderTable()', () => {
  it('aligns columns by what a terminal shows, with nothing behind the last one', () => {
    expect(
      renderTable(
        ['NAME', 'STATE'],
        [
          ['港', 'up'],
          ['web', ''],
          ['e\u0301', 'x'],
        ],
      ),
    ).toBe('NAME   STATE\n港     up\nweb\ne\u0301      x\n')
  })

  it('prints the heading alone where there is nothing', () => {
    expect(renderTable(['NAME', 'STATE'], [])).toBe('NAME   STATE\n')
  })

  it('lets nothing in a cell steer the terminal', () => {
    expect(renderTable(['A'], [['\x1b[2Jx\ny\u009b\u202e\u{feff}']])).toBe(
      'A\n\\x1b[2Jx\\x0ay\\x9b\\u{202e}\\u{feff}\n',
    )
  })
})
