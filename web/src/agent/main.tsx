import '../base.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App, Closed } from './App';
import { openPage } from './client';

const root = createRoot(document.getElementById('page')!);
const queries = new QueryClient({ defaultOptions: { queries: { retry: false, refetchOnWindowFocus: true } } });

openPage()
  .then((open) =>
    root.render(
      <StrictMode>
        {open ? (
          <QueryClientProvider client={queries}>
            <App />
          </QueryClientProvider>
        ) : (
          <Closed />
        )}
      </StrictMode>,
    ),
  )
  .catch((error: unknown) => root.render(<Closed message={error instanceof Error ? error.message : undefined} />));
