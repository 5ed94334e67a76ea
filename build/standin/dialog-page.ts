// Questions and file choosers as small pages, for a person at the stand-in's window.
import type * as Electron from 'electron'
import type { BrowserContext, Page } from 'playwright-core'

const style = `body{font:14px/1.5 system-ui,sans-serif;margin:24px;color-scheme:light dark;background:Canvas;color:CanvasText}
h1{font-size:16px;margin:0 0 8px}p{white-space:pre-wrap}footer{display:flex;gap:8px;justify-content:flex-end;margin-top:24px}
button{font:inherit;padding:6px 14px}`

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** Shows a question with its buttons; closing the window is the cancel button. */
export async function askQuestion(
  context: BrowserContext,
  options: Electron.MessageBoxOptions,
): Promise<Electron.MessageBoxReturnValue> {
  const buttons = options.buttons ?? ['OK']
  const page = await openPage(
    context,
    `<h1>${escapeHtml(options.message)}</h1><p>${escapeHtml(options.detail ?? '')}</p>
    ${options.checkboxLabel === undefined ? '' : `<label><input id=check type=checkbox> ${escapeHtml(options.checkboxLabel)}</label>`}
    <footer>${buttons.map((label, index) => `<button onclick="answer(${index},document.getElementById('check')?.checked??false)">${escapeHtml(label)}</button>`).join('')}</footer>`,
  )
  const cancelled = { response: options.cancelId ?? 0, checkboxChecked: false }
  return answerOf(page, cancelled, ([response, checkboxChecked]) => ({
    response: Number(response),
    checkboxChecked: checkboxChecked === true,
  }))
}

/** Lets the person choose a file and finds out its path, which a page itself may not know. */
export async function askForFile(
  context: BrowserContext,
  options: Electron.OpenDialogOptions,
): Promise<Electron.OpenDialogReturnValue> {
  const extensions = (options.filters ?? []).flatMap(({ extensions }) => extensions)
  const accept = extensions.includes('*') ? '' : extensions.map((extension) => `.${extension}`).join(',')
  const page = await openPage(
    context,
    `<h1>${escapeHtml(options.title ?? 'Open a file')}</h1><input id=file type=file accept="${escapeHtml(accept)}">
    <footer><button onclick="answer(false)">Cancel</button><button onclick="answer(file.files.length>0)">${escapeHtml(options.buttonLabel ?? 'Open')}</button></footer>`,
  )
  const cancelled = { canceled: true, filePaths: [] }
  return answerOf(page, cancelled, async ([isChosen]) => {
    if (isChosen !== true) return cancelled
    const cdp = await context.newCDPSession(page)
    const { result } = await cdp.send('Runtime.evaluate', { expression: 'file.files[0]' })
    const { path } = await cdp.send('DOM.getFileInfo', { objectId: result.objectId ?? '' })
    return { canceled: false, filePaths: [path] }
  })
}

async function openPage(context: BrowserContext, body: string): Promise<Page> {
  const page = await context.newPage()
  await page.setContent(`<!doctype html><title>Bulkhead</title><style>${style}</style>${body}`)
  return page
}

async function answerOf<T>(page: Page, cancelled: T, read: (args: unknown[]) => T | Promise<T>): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<unknown[] | undefined>()
  await page.exposeFunction('answer', (...args: unknown[]) => resolve(args))
  page.on('close', () => resolve(undefined))
  const args = await promise
  const result = args === undefined ? cancelled : await read(args)
  await page.close().catch(() => undefined)
  return result
}
